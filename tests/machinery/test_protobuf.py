"""Bodies in Kubernetes' protobuf become what their JSON would have been."""

from __future__ import annotations

import struct

import pytest

from kubelab.machinery.protobuf import MAGIC, decode
from kubelab.machinery.serializer import Unreadable


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def envelope(api_version: bytes, kind: bytes, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_a_config_map_is_decoded() -> None:
    """Maps of strings, nested messages and times come out under their JSON names."""
    metadata = field(1, b"x") + field(3, b"ns") + field(8, field(1, 1_767_323_045))
    raw = field(1, metadata) + field(2, field(1, b"a") + field(2, b"b"))
    assert decode(envelope(b"v1", b"ConfigMap", raw)) == {
        "kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"},
        "metadata": {"name": "x", "namespace": "ns", "creationTimestamp": "2026-01-02T03:04:05Z"}}


def test_inlined_fields_quantities_and_ports_are_decoded() -> None:
    """A volume's source stands in the volume itself; quantities and int-or-strings are what JSON has."""
    volume = field(1, b"v") + field(2, field(2, field(1, b"Memory")))
    probe = field(1, field(2, field(2, field(1, 0) + field(2, 8080)))) + field(2, -1)
    limits = field(1, field(1, b"cpu") + field(2, field(1, b"100m")))
    container = field(1, b"c") + field(8, limits) + field(10, probe)
    found = decode(envelope(b"v1", b"Pod", field(2, field(1, volume) + field(2, container))))["spec"]
    assert found["volumes"] == [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    assert found["containers"] == [{"name": "c", "resources": {"limits": {"cpu": "100m"}},
                                    "livenessProbe": {"httpGet": {"port": 8080}, "initialDelaySeconds": -1}}]


@pytest.mark.parametrize("body", [b"{}", MAGIC, MAGIC + b"\xff\xff", envelope(b"v1", b"Nope", b""),
                                  envelope(b"v1", b"Pod", b"\x0a\xff"), envelope(b"v1", b"Pod", b"\x0b")])
def test_broken_protobuf_is_unreadable(body: bytes) -> None:
    """Whatever bytes come, they are an object or are refused as none."""
    with pytest.raises(Unreadable):
        decode(body)


def test_a_custom_resource_definition_is_decoded() -> None:
    """Schemas within schemas, choices and JSON values come out as a definition in JSON has them."""
    spec = field(5, b"object") + field(6, b"") + field(37, 0) + field(30, field(1, 0) + field(2, field(5, b"string")))
    size = field(5, b"integer") + varint(11 << 3 | 1) + struct.pack("<d", 1) + field(8, field(1, b"3")) + field(38, 1)
    entries = [field(1, b"spec") + field(2, spec), field(1, b"size") + field(2, size),
               field(1, b"any") + field(2, field(5, b"object") + field(30, field(1, 1)))]
    schema = field(5, b"object") + b"".join(field(29, entry) for entry in entries)
    version = field(1, b"v1") + field(2, 1) + field(3, 1) + field(7, 0) + field(4, field(1, schema))
    found = decode(envelope(b"apiextensions.k8s.io/v1", b"CustomResourceDefinition",
                            field(2, field(1, b"example.com") + field(7, version) + field(10, 0))))
    assert found["spec"] == {"group": "example.com", "versions": [{
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "additionalProperties": {"type": "string"}},
            "size": {"type": "integer", "minimum": 1, "default": 3, "x-kubernetes-preserve-unknown-fields": True},
            "any": {"type": "object", "additionalProperties": True}}}}}]}


def test_unknown_fields_are_skipped() -> None:
    """A newer client may send fields that we do not know."""
    body = envelope(b"v1", b"ConfigMap", field(999, b"x") + field(998, 5))
    assert decode(body) == {"kind": "ConfigMap", "apiVersion": "v1"}
