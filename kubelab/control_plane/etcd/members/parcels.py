"""What members send each other: Raft's messages, proposals on their way to the leader, and what a leader says to those.

    follower ── Proposal ─► leader ─► its log ─► every member applies it ─► the follower answers its client
                 └ Refusal ◄─┘ not my turn: offer it again         or an error that is final

Invariant: any parcel may be lost, repeated or late; a proposal carries its request's id, so that repeating it is safe.
Models:    etcdserver's rafthttp messages (there a proposal is a Raft message)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

from kubelab.control_plane.etcd.errors import EtcdError, error_of
from kubelab.control_plane.etcd.raft.codec import decode as decode_message
from kubelab.control_plane.etcd.raft.codec import encode as encode_message
from kubelab.control_plane.etcd.raft.types import EntryKind, Message, data_bytes
from kubelab.control_plane.etcd.server_api import MemberInfo


class Proposal(NamedTuple):
    """A request of member `from_` for the leader's log."""

    request: int
    from_: int
    kind: EntryKind
    data: bytes


class Refusal(NamedTuple):
    """A leader's answer to a proposal that it did not take. Without `error` it is to be offered again."""

    request: int
    error: EtcdError | None = None


Parcel = Message | Proposal | Refusal


class Receiver(Protocol):
    """The member at the end of a transport."""

    def receive(self, parcel: Parcel) -> None: ...

    def delivered(self, to: int, ok: bool) -> None:
        """Hear whether a snapshot came to a member, or that nothing comes to it now."""
        ...

    def expelled(self) -> None:
        """Hear from another member that this one was removed."""
        ...


class Transport(Protocol):
    """The way from one member to the others. Never waits, may lose, may reorder."""

    def send(self, to: int, parcel: Parcel) -> None: ...

    def know(self, members: Sequence[MemberInfo], gone: Collection[int]) -> None:
        """Hear who the members are and where they listen, and who was one."""
        ...


def weight(parcel: Parcel) -> int:
    """Return about how many bytes a parcel takes."""
    if isinstance(parcel, Message):
        return 100 + data_bytes(parcel.entries) + (len(parcel.snapshot.data) if parcel.snapshot is not None else 0)
    return 100 + (len(parcel.data) if isinstance(parcel, Proposal) else 0)


def encode(parcel: Parcel) -> bytes:
    if isinstance(parcel, Message):
        return b"R" + encode_message(parcel)
    if isinstance(parcel, Proposal):
        return b"P" + _line([parcel.request, parcel.from_, parcel.kind]) + parcel.data
    error: list[Any] = [] if parcel.error is None else [parcel.error.code, str(parcel.error)]
    return b"N" + _line([parcel.request, *error])


def decode(data: bytes) -> Parcel:
    """Read what `encode` made. Raises ValueError for anything else."""
    kind = data[:1]
    if kind == b"R":
        return decode_message(data[1:])
    head, _, rest = data[1:].partition(b"\n")
    try:
        request, *fields = json.loads(head)
        if kind == b"P":
            from_, entry_kind = fields
            if entry_kind not in ("normal", "config"):
                raise ValueError(entry_kind)
            return Proposal(int(request), int(from_), entry_kind, rest)
        if kind == b"N":
            return Refusal(int(request), error_of(*fields) if fields else None)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a parcel of a member: {error}") from None
    raise ValueError(f"not a parcel of a member: its kind is {kind!r}")


def _line(values: list[Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"
