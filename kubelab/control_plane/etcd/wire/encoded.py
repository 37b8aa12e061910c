"""The bytes of keys, made once: what a range and a watch say of a key is the same piece of their answers.

    KeyValue ─► "field 2, length, body" ─┬─► RangeResponse = header │ kv │ kv │ ... │ more │ count
                                         └─► Event = type │ kv │ prev_kv

Invariant: a version of a key is encoded once while it is kept here; a KeyValue never changes, so its bytes do not.
Models:    protobuf's wire format, for the two messages that carry most of etcd's bytes
"""

from __future__ import annotations

from kubelab.control_plane.etcd.api import KeyValue, RangeResult
from kubelab.control_plane.etcd.wire.convert import Message, kv_message

KEPT_BYTES = 32 << 20
_KV, _PREV_KV, _HEADER, _MORE, _COUNT = b"\x12", b"\x1a", b"\x0a", b"\x18\x01", b"\x20"  # field numbers with types


def varint(n: int) -> bytes:
    """Return a number that is not negative as protobuf writes it."""
    if n < 0x80:
        return bytes((n,))
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(tag: bytes, body: bytes) -> bytes:
    """Return a field that holds a message or bytes."""
    return tag + varint(len(body)) + body


class Encoded:
    """The bytes of the versions that were asked for lately, by the identity of the KeyValue."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[KeyValue, bytes]] = {}
        self._size = 0

    def kv(self, kv: KeyValue) -> bytes:
        """Return a KeyValue as field 2 of what it stands in."""
        known = self._kept.get(id(kv))
        if known is not None and known[0] is kv:
            return known[1]
        made = _encode(kv)
        if self._size > KEPT_BYTES:
            self._kept.clear()
            self._size = 0
        self._kept[id(kv)] = (kv, made)
        self._size += len(made)
        return made

    def prev_kv(self, kv: KeyValue) -> bytes:
        """Return a KeyValue as field 3."""
        return _PREV_KV + self.kv(kv)[1:]

    def range(self, result: RangeResult, head: Message, *, passing: bool) -> bytes:
        """Return a RangeResponse; `passing` keys were made for this answer alone and are not kept."""
        kvs = map(_encode if passing else self.kv, result.kvs)
        parts = [field(_HEADER, head.SerializeToString()), *kvs]
        if result.more:
            parts.append(_MORE)
        if result.count:
            parts.append(_COUNT + varint(result.count))
        return b"".join(parts)


def _encode(kv: KeyValue) -> bytes:
    return field(_KV, kv_message(kv).SerializeToString())
