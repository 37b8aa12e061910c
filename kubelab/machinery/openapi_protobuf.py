"""The OpenAPI v2 document in protobuf, the only form in which kubectl reads it: to validate lists and what has no v3.

    {"definitions": {name: schema}} ─► Document.definitions ─► NamedSchema ─► Schema, field by field

Invariant: what a schema says here it says in JSON; keywords that the message has no field for are left out.
Models:    openapiv2/OpenAPIv2.proto of gnostic, whose field numbers these are
Left out:  parameters and answers of operations: readers of this form look at the schemas
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import orjson

from kubelab.machinery.request import Obj

MEDIA = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED = (MEDIA, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")  # the second is no legal name
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_NUMBERS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "maxLength": 11, "minLength": 12, "maxItems": 14,
            "minItems": 15, "uniqueItems": 16, "maxProperties": 17, "minProperties": 18}  # flags are numbers as well
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(swagger: Obj) -> bytes:
    """Return the bytes of an openapi.v2.Document."""
    info = _text(1, swagger["info"]["title"]) + _text(2, swagger["info"]["version"])
    paths = b"".join(_field(2, _text(1, path) + _field(2, _path_item(item))) for path, item in swagger["paths"].items())
    return _text(1, swagger["swagger"]) + _field(2, info) + _field(8, paths) + _field(9, _named(swagger["definitions"]))


def _path_item(item: Obj) -> bytes:
    return b"".join(_field(_METHODS[method], _operation(operation)) for method, operation in item.items())


def _operation(operation: Obj) -> bytes:
    out = b"".join(_text(1, tag) for tag in operation["tags"]) + _text(5, operation["operationId"])
    out += b"".join(_text(6, media) for media in operation["produces"])
    out += b"".join(_text(7, media) for media in operation["consumes"])
    return out + _extensions(13, operation)


def _named(schemas: Obj) -> bytes:
    """Definitions and Properties alike: names, each with its schema."""
    return b"".join(_field(1, _text(1, name) + _field(2, _schema(schema))) for name, schema in schemas.items())


def _schema(schema: Obj) -> bytes:
    out = b"".join(_part(key, value) for key, value in schema.items() if value is not None)
    return out + _extensions(31, schema)


def _part(key: str, value: Any) -> bytes:
    if key in _TEXTS:
        return _text(_TEXTS[key], value)
    if key in _NUMBERS:
        return _number(_NUMBERS[key], int(value))
    if key in _DOUBLES:
        return _tag(_DOUBLES[key], 1) + struct.pack("<d", value)
    writer = _WRITERS.get(key)
    return writer(value) if writer is not None else b""


def _additional(value: Any) -> bytes:
    return _field(21, _number(2, int(value)) if isinstance(value, bool) else _field(1, _schema(value)))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "default": lambda value: _field(5, _any(value)),
    "required": lambda names: b"".join(_text(19, name) for name in names),
    "enum": lambda values: b"".join(_field(20, _any(value)) for value in values),
    "additionalProperties": _additional,
    "type": lambda value: _field(22, _text(1, value)),
    "items": lambda value: _field(23, _field(1, _schema(value))),
    "allOf": lambda parts: b"".join(_field(24, _schema(part)) for part in parts),
    "properties": lambda parts: _field(25, _named(parts)),
}


def _extensions(number: int, value: Obj) -> bytes:
    named = (_text(1, key) + _field(2, _any(part)) for key, part in value.items() if key.startswith("x-"))
    return b"".join(_field(number, one) for one in named)


def _any(value: Any) -> bytes:
    return _text(2, orjson.dumps(value).decode())  # as YAML, which JSON is


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, body: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(body)) + body


def _number(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value & (1 << 64) - 1)


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
