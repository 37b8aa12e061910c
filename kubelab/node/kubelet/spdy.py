"""SPDY/3.1 framing: bytes to frames and back, as far as `kubectl port-forward` needs it.

    control frame  1 | version 3 | type     flags | length   body
    data frame     0 | stream id            flags | length   body

Header blocks are zlib streams, one for each direction of a connection, primed with a dictionary of common header words.
Source:    SPDY Protocol, Draft 3.1 (draft-mbelshe-httpbis-spdy-00), section 2.6; the dictionary is in 2.6.10.1
Left out:  CREDENTIAL, server push, priorities
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
DATA = 0  # not a control frame
FLAG_FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, FLOW_CONTROL_ERROR = 1, 2, 3, 5, 7
SETTINGS_INITIAL_WINDOW_SIZE = 7
MAX_FRAME_BYTES = 1 << 20  # a peer that announces more is refused
MAX_HEADER_BYTES = 64 << 10

_WORDS = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
keep-alive origin
"""
_CODES = ("100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
          "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
          "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable")
_DATES = "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
_VALUES = ("chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
           "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.")
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.replace("_", " ").encode() for w in _WORDS.split()) + (
    _CODES + _DATES + _VALUES).encode()


class SpdyError(Exception):
    """The peer broke the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, decoded. What a type does not use stays at its default."""

    type: int
    stream_id: int = 0
    flags: int = 0
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    value: int = 0  # RST_STREAM, GOAWAY: status; PING: id; WINDOW_UPDATE: delta; SETTINGS: initial window or 0

    @property
    def fin(self) -> bool:
        return bool(self.flags & FLAG_FIN)


class Framer:
    """Encodes and decodes the frames of one connection: the header compression has a memory."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(wbits=15, zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(wbits=15, zdict=DICTIONARY)
        self._buffer = bytearray()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes in any portions; yield every frame that they complete. Raises SpdyError."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if length > MAX_FRAME_BYTES:
                raise SpdyError(f"frame of {length} bytes is too long")
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8:8 + length])
            del self._buffer[:8 + length]
            frame = self._decode(first, second >> 24, body)
            if frame is not None:
                yield frame

    def _decode(self, first: int, flags: int, body: bytes) -> Frame | None:
        if not first >> 31:
            return Frame(DATA, first, flags, body)
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"SPDY version {version} is not spoken here")
        try:
            return self._control(kind, flags, body)
        except (struct.error, UnicodeDecodeError, zlib.error) as error:
            raise SpdyError(f"malformed frame of type {kind}: {error}") from error

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        if kind == SYN_STREAM:
            (stream_id,) = struct.unpack_from(">I", body)
            return Frame(kind, stream_id & 0x7FFFFFFF, flags, headers=self._read_headers(body[10:]))
        if kind in (SYN_REPLY, HEADERS):
            (stream_id,) = struct.unpack_from(">I", body)
            return Frame(kind, stream_id & 0x7FFFFFFF, flags, headers=self._read_headers(body[4:]))
        if kind in (RST_STREAM, GOAWAY, WINDOW_UPDATE):
            stream_id, value = struct.unpack(">II", body)
            return Frame(kind, stream_id & 0x7FFFFFFF, flags, value=value & 0x7FFFFFFF)
        if kind == PING:
            return Frame(kind, value=struct.unpack(">I", body)[0])
        if kind == SETTINGS:
            return Frame(kind, value=_initial_window(body))
        return None  # a frame of a later kind is to be ignored

    def _read_headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, MAX_HEADER_BYTES)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"header block is longer than {MAX_HEADER_BYTES} bytes")
        (count,) = struct.unpack_from(">I", plain)
        at, words = 4, []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, at)
            if at + 4 + length > len(plain):
                raise SpdyError("header block ends early")
            words.append(plain[at + 4:at + 4 + length].decode())
            at += 4 + length
        return dict(zip((w.lower() for w in words[::2]), words[1::2], strict=True))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def syn_stream(self, stream_id: int, headers: Mapping[str, str]) -> bytes:
        return _control_frame(SYN_STREAM, 0, struct.pack(">IIH", stream_id, 0, 0) + self._write_headers(headers))

    def syn_reply(self, stream_id: int, headers: Mapping[str, str]) -> bytes:
        return _control_frame(SYN_REPLY, 0, struct.pack(">I", stream_id) + self._write_headers(headers))

    def _write_headers(self, headers: Mapping[str, str]) -> bytes:
        words = [w.encode() for name, value in headers.items() for w in (name.lower(), value)]
        plain = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(w)) + w for w in words)
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def data_frame(stream_id: int, data: bytes, *, fin: bool = False) -> bytes:
    return struct.pack(">II", stream_id, (FLAG_FIN if fin else 0) << 24 | len(data)) + data


def rst_stream(stream_id: int, status: int) -> bytes:
    return _control_frame(RST_STREAM, 0, struct.pack(">II", stream_id, status))


def window_update(stream_id: int, delta: int) -> bytes:
    return _control_frame(WINDOW_UPDATE, 0, struct.pack(">II", stream_id, delta))


def ping(ping_id: int) -> bytes:
    return _control_frame(PING, 0, struct.pack(">I", ping_id))


def goaway(last_stream_id: int, status: int = 0) -> bytes:
    return _control_frame(GOAWAY, 0, struct.pack(">II", last_stream_id, status))


def settings(initial_window: int) -> bytes:
    return _control_frame(SETTINGS, 0, struct.pack(">III", 1, SETTINGS_INITIAL_WINDOW_SIZE, initial_window))


def _control_frame(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _initial_window(body: bytes) -> int:
    (count,) = struct.unpack_from(">I", body)
    for i in range(count):
        head, value = struct.unpack_from(">II", body, 4 + 8 * i)
        if head & 0xFFFFFF == SETTINGS_INITIAL_WINDOW_SIZE:
            return int(value)
    return 0
