from __future__ import annotations

import gzip
from pathlib import Path

import orjson

from kubelab.machinery import schema_build


def test_the_same_package_gives_the_same_bytes(tmp_path: Path) -> None:
    """Building twice is reproducible and stays small enough to ship."""
    first, second = (schema_build.build(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second and len(first) < 300_000


def test_definitions_are_openapi_again(tmp_path: Path) -> None:
    """References point at components, nothing may be null, the two special types are restored."""
    lines = gzip.decompress(schema_build.build(tmp_path / "x").read_bytes()).split(b"\n")
    index = orjson.loads(lines[0])
    told = dict(zip(index["names"], map(orjson.loads, lines[1:]), strict=True))
    assert b"$defs" not in b"".join(lines) and b'"null"' not in b"".join(lines)
    assert index["kinds"]["apps/v1/Deployment"] == "io.k8s.api.apps.v1.Deployment"
    assert "DeleteOptions" not in {kind.rpartition("/")[2] for kind in index["kinds"]}
    assert told["io.k8s.apimachinery.pkg.api.resource.Quantity"]["oneOf"]
    assert told["io.k8s.api.apps.v1.Deployment"]["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]
    props = told["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"]["properties"]
    assert props["$ref"]["type"] == "string"
