"""What gRPC says in HTTP/2's headers: how an answer begins and ends, how long a call may take.

    answer = OPENING │ messages │ (grpc-status, grpc-message); a call that fails has all in one block

    RememberingDecoder, RememberingEncoder: a block that is nothing but places in the table of headers, one byte each,
    means the same until the table changes: the calls of one client are all alike, so it is coded once

Invariant: what is remembered is forgotten with the first block that can have changed the table.
Models:    grpc's PROTOCOL-HTTP2.md; RFC 7541, section 6.1
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import hpack

Headers = list[tuple[bytes, bytes]]

STATUS = {name: number for number, name in enumerate((
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"))}
OPENING: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
NO_GRPC: Headers = [(b":status", b"415")]

_DONE: Headers = [(b"grpc-status", b"0")]
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def trailers(code: str, text: str) -> Headers:
    """Return the end of a call."""
    if code == "OK":
        return _DONE
    return [(b"grpc-status", b"%d" % STATUS[code]),
            (b"grpc-message", quote(text, safe=" !#$&'()*+,/:;<=>?@[]^`{|}\"\\").encode())]


def timeout_s(text: str) -> float:
    """Read a grpc-timeout: up to eight digits and a unit. Raises ValueError."""
    if not text[:-1].isdigit() or len(text) > 9 or text[-1] not in _UNIT_S:
        raise ValueError(text)
    return int(text[:-1]) * _UNIT_S[text[-1]]


def _only_places(block: bytes) -> bool:
    return min(block, default=0) >= 0x80


class RememberingDecoder(hpack.Decoder):
    """Decodes the requests of one connection."""

    def __init__(self, list_bytes: int) -> None:
        super().__init__(max_header_list_size=list_bytes)
        self._known: dict[bytes, Any] = {}

    def decode(self, data: bytes, raw: bool = False) -> Any:
        found = self._known.get(data)
        if found is None:
            found = super().decode(data, raw)
            if _only_places(data):
                self._known[data] = found
            else:
                self._known.clear()
        return found


class RememberingEncoder(hpack.Encoder):
    """Encodes the answers of one connection."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[Any, ...], bytes] = {}

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        if self.table_size_changes:  # the peer wants another table, and the next block must say so
            self._known.clear()
        key = tuple(headers)
        found = self._known.get(key)
        if found is None:
            found = super().encode(key, huffman)
            if _only_places(found):
                self._known[key] = found
            else:
                self._known.clear()
        return found
