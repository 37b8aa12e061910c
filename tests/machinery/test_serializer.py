"""Text becomes values, and what is wrong with it is said in Go's words."""

from __future__ import annotations

import re

import pytest

from kubelab.machinery.serializer import Malformed, duplicate_fields, read_json


@pytest.mark.parametrize(("text", "message"), [
    (b"{oops", "invalid character 'o' looking for beginning of object key string"),
    (b"", "unexpected end of JSON input"),
    (b'{"a":1', "unexpected end of JSON input"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
    (b'{"a":1} x', "invalid character 'x' after top-level value"),
    (b"\x00", r"invalid character '\x00' looking for beginning of value"),
    (b"\\", r"invalid character '\\' looking for beginning of value"),
    ("é".encode(), "invalid character 'Ã' looking for beginning of value"),
    (b'{"a":' * 2000 + b"1" + b"}" * 2000, "exceeded max depth"),
    (b"[" * 400 + b"]" * 400, "exceeded max depth"),
])
def test_broken_json_is_worded_as_go_words_it(text: bytes, message: str) -> None:
    """The reason of a 400 names the first character that does not fit."""
    with pytest.raises(Malformed, match="^" + re.escape(message) + "$"):
        read_json(text)


@pytest.mark.parametrize(("text", "paths"), [
    (b'{"a":1,"b":{"c":1,"c":2}}', ["b.c"]),
    (b'{"a":"\\":","b":1}', []),
    (b'{"a" :1,"a" :2}', ["a"]),
    (b'{"x":[{"y":1,"y":1}]}', ["x[0].y"]),
    (b'{"\\u0061":1,"a":2}', ["a"]),
])
def test_a_key_that_stands_twice_is_found(text: bytes, paths: list[str]) -> None:
    """Duplicate keys are told by path, and a string that looks like one is not."""
    assert duplicate_fields(text, read_json(text)[0]) == paths
