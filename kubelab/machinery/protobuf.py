"""Bodies in Kubernetes' protobuf: typed Go clients send them (kubectl's `create` is one), answers may stay JSON.

    "k8s\\0" ─► Unknown{typeMeta, raw} ─► message by apiVersion and kind ─► dict, as its JSON would have been

`protobuf_numbers.txt` holds what the published generated.proto files say, one message a line, each field as number,
JSON name and type: s string, i integer, b boolean, d double, y bytes, q quantity, t time, u micro time, o int or
string, x raw JSON, f managed fields, v list of strings, :name message; before it [ list, { map of strings, + inlined,
?n field n of a choice between a message and a boolean.

Invariant: an unknown field number is skipped, as protobuf demands; broken framing is refused.
Models:    k8s.io/apimachinery/pkg/runtime/serializer/protobuf
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from kubelab.machinery.clock import micro_timestamp, timestamp
from kubelab.machinery.request import Obj
from kubelab.machinery.serializer import Unreadable

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 100
_FLAGS = frozenset({"exclusiveMaximum", "exclusiveMinimum", "uniqueItems", "nullable", "x-kubernetes-embedded-resource",
                    "x-kubernetes-int-or-string", "deprecated", "preserveUnknownFields"})
Field = tuple[str, str]  # (JSON name, type)


def decode(body: bytes) -> Obj:
    """Return the object of a protobuf body. Raises `Unreadable`."""
    if not body.startswith(MAGIC):
        raise Unreadable("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
                         if body else "empty data")
    if body == MAGIC:
        raise Unreadable("empty body")
    try:
        unknown = dict(fields(body[len(MAGIC):]))
        about = {number: _text(value) for number, value in fields(unknown[1])}
        api_version, kind = about.get(1, ""), about.get(2, "")
        message = _message_of(api_version, kind)
        if message is None:
            raise Unreadable(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
        return {"kind": kind, "apiVersion": api_version, **_object(unknown.get(2, b""), message, 0)}
    except Unreadable:
        raise
    except (IndexError, KeyError, ValueError, TypeError, struct.error) as error:
        raise Unreadable(f"couldn't decode the protobuf body: {error}") from None


@lru_cache(maxsize=1)
def _messages() -> Mapping[str, Mapping[int, Field]]:
    found = {}
    for line in Path(__file__).with_name("protobuf_numbers.txt").read_text().splitlines():
        name, *fields = line.split("|")
        found[name] = {int(number): (json_name, type_) for number, json_name, type_ in (f.split(" ") for f in fields)}
    return found


def _message_of(api_version: str, kind: str) -> str | None:
    group, _, version = api_version.rpartition("/")
    package = "core" if not group else group.removesuffix(".k8s.io").removesuffix(".authorization").split(".")[0]
    for name in (f"{package}/{version}.{kind}", f"meta/v1.{kind}"):
        if name in _messages():
            return name
    return None


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, raw value): an int for varints and fixed ones, bytes for the rest."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise ValueError("unexpected EOF")
            yield number, data[at:at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, data[at:at + size]
            at += size
        else:
            raise ValueError(f"illegal wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("integer overflow")


def _object(data: bytes, message: str, depth: int) -> Obj:
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    known = _messages()[message]
    out: Obj = {}
    for number, raw in fields(data):
        field = known.get(number)
        if field is None:
            continue
        name, type_ = field
        if type_[0] == "[":
            out.setdefault(name, []).extend(_items(raw, type_[1:], depth))
        elif type_[0] == "{":
            entry = dict(fields(raw))
            out.setdefault(name, {})[_text(entry.get(1, b""))] = _value(entry.get(2, b""), type_[1:], depth)
        elif type_[0] == "+":
            out.update(_object(raw, type_[2:], depth + 1))
        else:
            out[name] = _value(raw, type_, depth)
    return _as_written(out) if message.startswith("apiextensions/") else out


def _as_written(schema: Obj) -> Obj:
    """Leave out Go's zero values, which a schema in JSON does not have, and write whole numbers as such."""
    out = {name: part for name, part in schema.items() if part != "" and (part is not False or name not in _FLAGS)}
    return out | {name: int(out[name]) for name in ("maximum", "minimum", "multipleOf")
                  if name in out and out[name].is_integer()}


def _items(raw: Any, type_: str, depth: int) -> list[Any]:
    if type_ in ("i", "b") and isinstance(raw, bytes):  # packed
        numbers, at = [], 0
        while at < len(raw):
            number, at = _varint(raw, at)
            numbers.append(_value(number, type_, depth))
        return numbers
    return [_value(raw, type_, depth)]


def _value(raw: Any, type_: str, depth: int) -> Any:
    if type_[0] == ":":
        return _object(raw, type_[1:], depth + 1)
    if type_[0] == "?":
        parts = dict(fields(raw))
        schema = parts.get(int(type_[1]))
        return _object(schema, type_[3:], depth + 1) if schema is not None else bool(parts.get(1))
    return _SCALARS[type_](raw)


def _text(raw: Any) -> str:
    return str(raw) if isinstance(raw, int) else raw.decode()


def _integer(raw: int) -> int:
    return raw - (1 << 64) if raw >= 1 << 63 else raw


def _quantity(raw: bytes) -> str:
    return _text(dict(fields(raw)).get(1, b""))


def _seconds(raw: bytes) -> tuple[int, int] | None:
    parts = dict(fields(raw))
    return (_integer(parts.get(1, 0)), parts.get(2, 0)) if parts else None


def _time(raw: bytes) -> str | None:
    at = _seconds(raw)
    return timestamp(at[0]) if at is not None else None


def _micro_time(raw: bytes) -> str | None:
    at = _seconds(raw)
    return micro_timestamp(at[0] + at[1] / 1e9) if at is not None else None


def _int_or_string(raw: bytes) -> int | str:
    parts = dict(fields(raw))
    return _text(parts.get(3, b"")) if parts.get(1, 0) == 1 else _integer(parts.get(2, 0))


def _json(raw: bytes) -> Any:
    return orjson.loads(dict(fields(raw)).get(1, b"") or b"null")


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "s": _text, "i": _integer, "b": bool, "d": lambda raw: struct.unpack("<d", raw)[0],
    "y": lambda raw: base64.b64encode(raw).decode(), "q": _quantity, "t": _time, "u": _micro_time,
    "o": _int_or_string, "x": _json, "f": _json, "v": lambda raw: [_text(value) for _, value in fields(raw)],
}
