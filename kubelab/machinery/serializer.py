"""Bytes become values, and what is wrong with them is said in the words of Go's decoder.

    bytes ─► JSON or YAML ─► value (+ the keys that stood twice, which a dict has swallowed)

Models:    k8s.io/apimachinery/pkg/runtime/serializer/json, sigs.k8s.io/yaml
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from kubelab.machinery.errors import CONVERTING, ApiError
from kubelab.machinery.twins import parse_json

_ESCAPED = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b",
            "\f": "\\f", "\v": "\\v"}
TWINS = "yaml: unmarshal errors:\n  "
_LOOSE_KEY = re.compile(rb'"\s+:')
_NEEDS = {"Expecting property name": "looking for beginning of object key string", "Illegal trailing comma":
          "looking for beginning of object key string", "Expecting ':'": "after object key",
          "Expecting value": "looking for beginning of value", "Extra data": "after top-level value",
          "Invalid control character": "in string literal", "Invalid \\escape": "in string escape code"}


class Malformed(ValueError):
    """The text is not JSON or YAML; the message is Go's."""


class Unreadable(Malformed):
    """What came is not what its media type says: YAML, protobuf. The message is Go's, and needs no more words."""


def read_json(body: bytes) -> tuple[Any, list[str]]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(_go_syntax_error(body, error)) from None
    try:
        return value, duplicate_fields(body, value)
    except (orjson.JSONEncodeError, RecursionError):  # what can be read but not be written again is nested too deep
        raise Malformed("exceeded max depth") from None


def duplicate_fields(body: bytes, value: Any) -> list[str]:
    """Return the paths of keys that stand twice in one object; a dict has swallowed the first of them.

    Counting `":` in the text and in the value written again settles the common case without a second parser.
    """
    unusual = b"\\u" in body or _LOOSE_KEY.search(body) is not None
    if not unusual and body.count(b'":') == orjson.dumps(value).count(b'":'):
        return []
    return parse_json(body)[1]


def _go_syntax_error(body: bytes, error: orjson.JSONDecodeError) -> str:
    if "ecursion" in error.msg:
        return "exceeded max depth"
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as slow:
        if slow.pos >= len(text) or slow.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        what = next((go for start, go in _NEEDS.items() if slow.msg.startswith(start)), "after object key:value pair")
        return f"invalid character {_quoted(text[slow.pos])} {what}"
    except RecursionError:
        return "exceeded max depth"
    except ValueError:  # more digits than Python turns into a number
        pass
    return "invalid character in string literal"  # what only the strict parser refuses: NaN, bad UTF-8, endless digits


def _quoted(char: str) -> str:
    """Quote a character as Go's scanner does, which takes each byte for one."""
    byte = char.encode()[0]
    if char in _ESCAPED:
        return f"'{_ESCAPED[char]}'"
    if chr(byte).isprintable():
        return f"'{chr(byte)}'"
    return f"'\\x{byte:02x}'" if byte < 0x80 else f"'\\u{byte:04x}'"


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML body that has been read: its value, and its keys that stood twice (`line 3: key "a" already set ...`)."""

    value: Any
    twins: tuple[str, ...] = ()

    @property
    def strict(self) -> list[str]:
        """What a strict reader says of it."""
        return [TWINS + "\n  ".join(self.twins)] if self.twins else []


def read_yaml(body: bytes) -> Document:
    """Return the one document of a YAML body, of keys that stand twice the last. Raises `Unreadable`."""
    from kubelab.machinery.yaml import load_values

    twins: list[str] = []
    try:
        values = load_values(body, twins)
    except ApiError as error:
        raise Unreadable(error.message.removeprefix(CONVERTING)) from None
    if len(values) > 1:
        raise Unreadable("yaml: the body holds more than one document")
    return Document(values[0] if values else None, tuple(twins))
