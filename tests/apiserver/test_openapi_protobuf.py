"""OpenAPI v2 in protobuf: what the JSON says, field by field."""

from __future__ import annotations

import struct
from typing import Any

import orjson

from kubelab.machinery import openapi_protobuf
from kubelab.machinery.protobuf import fields
from kubelab.machinery.request import Obj

from .conftest import World

ACCEPT = {"accept": openapi_protobuf.ASKED[1]}


def parts(data: bytes, number: int) -> list[Any]:
    return [value for n, value in fields(data) if n == number]


def named(data: bytes) -> dict[str, bytes]:
    return {parts(one, 1)[0].decode(): parts(one, 2)[0] for one in parts(data, 1)}


def document(**definitions: Obj) -> bytes:
    return openapi_protobuf.document({"swagger": "2.0", "info": {"title": "t", "version": "v"}, "paths": {},
                                      "definitions": definitions})


def test_a_schema_keeps_what_it_says() -> None:
    """Types, references, properties, bounds, enumerations, maps, lists and extensions have their fields."""
    told = named(parts(document(Size={
        "type": "object", "required": ["a"], "x-kubernetes-map-type": "atomic", "properties": {
            "a": {"$ref": "#/definitions/Other", "description": "d"}, "b": {"type": "number", "minimum": 1.5},
            "c": {"type": "array", "items": {"type": "string"}, "maxItems": 300}, "d": {"additionalProperties": False},
            "e": {"enum": ["x", 1], "default": {"y": None}, "oneOf": [{}]}}}), 9)[0])["Size"]
    assert parts(parts(told, 22)[0], 1) == [b"object"] and parts(told, 19) == [b"a"]
    assert [(parts(e, 1), parts(parts(e, 2)[0], 2)) for e in parts(told, 31)] == [([b"x-kubernetes-map-type"],
                                                                                 [b'"atomic"'])]
    fields = named(parts(told, 25)[0])
    assert (parts(fields["a"], 1), parts(fields["a"], 4)) == ([b"#/definitions/Other"], [b"d"])
    raw = parts(fields["b"], 9)[0]
    assert raw == struct.pack("<d", 1.5)
    assert parts(fields["c"], 14) == [300] and parts(parts(parts(fields["c"], 23)[0], 1)[0], 22)
    assert parts(parts(fields["d"], 21)[0], 2) == [0]
    assert [parts(one, 2) for one in parts(fields["e"], 20)] == [[b'"x"'], [b"1"]]
    assert parts(parts(fields["e"], 5)[0], 2) == [b'{"y":null}']


async def test_both_forms_name_the_same(world: World) -> None:
    """Every definition and path of the JSON stands in the protobuf, and every reference leads somewhere."""
    as_json = orjson.loads((await world.send("GET", "/openapi/v2")).body)
    answer = await world.send("GET", "/openapi/v2", headers=ACCEPT)
    assert answer.headers["content-type"] == openapi_protobuf.MEDIA
    assert named(parts(answer.body, 9)[0]).keys() == as_json["definitions"].keys()
    assert {parts(one, 1)[0].decode() for one in parts(parts(answer.body, 8)[0], 2)} == as_json["paths"].keys()
    text = orjson.dumps(as_json["definitions"]).decode()
    references = {part.split('"')[0] for part in text.split('"$ref":"#/definitions/')[1:]}
    assert references <= as_json["definitions"].keys()
