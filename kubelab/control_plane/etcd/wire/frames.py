"""HTTP/2 and gRPC as bytes: frames, the few header blocks that a gRPC server sends, message prefixes.

    frame   = length u24 │ type u8 │ flags u8 │ stream u31 │ payload          (RFC 9113, section 4.1)
    message = compressed u8 │ length u32 │ protobuf, in the payload of DATA frames
    answer  = HEADERS (200) │ DATA ... │ HEADERS (grpc-status, ends the stream); an error has the last one alone

Invariant: nothing here keeps a state; our header blocks use no dynamic table, so they are the same for every peer.
Models:    grpc's PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from urllib.parse import quote

HEAD = struct.Struct(">HBBBI")  # length in two parts, type, flags, stream
U32 = struct.Struct(">I")
PREFIX = struct.Struct(">BI")
SETTING = struct.Struct(">HI")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, _, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST = range(1, 7)
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = range(4)
FRAME_SIZE_ERROR, REFUSED_STREAM, COMPRESSION_ERROR, CALM_DOWN = 6, 7, 9, 11

STATUS = {name: number for number, name in enumerate((
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"))}

_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def message(body: bytes) -> bytes:
    return PREFIX.pack(0, len(body)) + body


def _literal(name: bytes, value: bytes) -> bytes:
    """Return one header field, neither indexed nor compressed (RFC 7541, section 6.2.2)."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    size, lead = len(text), bytearray()
    if size < 127:
        lead.append(size)
    else:
        lead.append(127)
        size -= 127
        while size > 127:
            lead.append(size & 0x7F | 0x80)
            size >>= 7
        lead.append(size)
    return bytes(lead) + text


_OK = b"\x88" + _literal(b"content-type", b"application/grpc")  # 0x88: ":status 200" of the static table
_DONE = _literal(b"grpc-status", b"0")


def opening(stream: int) -> bytes:
    """Return the headers before the first message."""
    return frame(HEADERS, END_HEADERS, stream, _OK)


def trailers(stream: int, code: str = "OK", text: str = "", *, alone: bool = False) -> bytes:
    """Return the end of a call; `alone` when no message went before it."""
    block = _DONE if code == "OK" else (_literal(b"grpc-status", b"%d" % STATUS[code])
                                        + _literal(b"grpc-message", quote(text, safe=" !#$&'()*+,/:;<=>?@[]^`{|}\"\\")
                                                   .encode()))
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, _OK + block if alone else block)


def no_grpc(stream: int) -> bytes:
    """Return the answer to a request that is not of gRPC: status 415."""
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, _literal(b":status", b"415"))


def timeout_s(text: str) -> float:
    """Read a grpc-timeout: up to eight digits and a unit. Raises ValueError."""
    if not text[:-1].isdigit() or text[-1] not in _UNIT_S:
        raise ValueError(text)
    return int(text[:-1]) * _UNIT_S[text[-1]]
