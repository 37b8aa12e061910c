"""Parcels as bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.control_plane.etcd.errors import EtcdError, LearnerNotReady, LeaseNotFound, Unavailable
from kubelab.control_plane.etcd.members.parcels import Parcel, Proposal, Refusal, decode, encode, weight
from kubelab.control_plane.etcd.raft.types import ConfState, Entry, EntryKind, Message, MessageType, Snapshot
from kubelab.control_plane.etcd.raft.types import SnapshotMeta as Meta

U64 = st.integers(0, 2**64 - 1)
KIND = st.sampled_from(get_args(EntryKind))
IDS = st.frozensets(U64, max_size=4)
ENTRIES = st.lists(st.builds(Entry, U64, U64, KIND, st.binary(max_size=40)), max_size=3).map(tuple)
PLAIN = sorted({*get_args(MessageType)} - {"snapshot"})
MESSAGES = st.builds(Message, st.sampled_from(PLAIN), U64, U64, U64, U64, U64, ENTRIES, U64, st.booleans(), U64,
                     st.binary(max_size=16), st.none()) \
    | st.builds(lambda to, from_, meta, data: Message("snapshot", to, from_, snapshot=Snapshot(meta, data)), U64, U64,
                st.builds(Meta, U64, U64, st.builds(ConfState, IDS, IDS)), st.binary(max_size=90))
PARCELS = MESSAGES | st.builds(Proposal, U64, U64, KIND, st.binary(max_size=60)) | st.builds(Refusal, U64, st.none())


@given(PARCELS)
def test_what_goes_in_comes_out(parcel: Parcel) -> None:
    """Every parcel is the same at the other end, and its weight is about its length."""
    assert decode(encode(parcel)) == parcel
    assert abs(weight(parcel) - len(encode(parcel))) < 400


@pytest.mark.parametrize("error", [LearnerNotReady(), LeaseNotFound(), Unavailable("etcdserver: of another version"),
                                   EtcdError("etcdserver: of another version")])
def test_an_error_keeps_its_kind_and_its_words(error: EtcdError) -> None:
    """What a leader says to a proposal, the follower's client reads."""
    refusal = decode(encode(Refusal(7, error)))
    assert isinstance(refusal, Refusal)
    assert refusal.request == 7
    assert type(refusal.error) is type(error)
    assert str(error) in str(refusal.error)


@given(st.binary(max_size=120) | st.tuples(st.sampled_from((b"R", b"P", b"N")), st.binary(max_size=120)).map(b"".join))
def test_arbitrary_bytes(data: bytes) -> None:
    """Bytes of anyone else are a parcel or a ValueError."""
    decoded_or_refused(data)


@pytest.mark.parametrize("data", [b"", b"P", b"P[1, 2]\n", b'P[1, 2, "other"]\n', b"N[Infinity]\n", b"N[NaN]\n",
                                  b"N{}\n", b"N7\n", b'N[1, "A", ["B"]]\n', b'N[1, "A"]\n',
                                  b"N" + b"[" * 100_000 + b"\n", b"X"])
def test_what_is_no_parcel(data: bytes) -> None:
    """JSON that means nothing here is refused."""
    with pytest.raises(ValueError, match="not a parcel"):
        decode(data)


@given(PARCELS, st.data())
def test_damaged_bytes(parcel: Parcel, data: st.DataObject) -> None:
    """A parcel with a byte changed is another one, or refused."""
    good = encode(parcel)
    at = data.draw(st.integers(0, len(good) - 1))
    decoded_or_refused(good[:at] + bytes((data.draw(st.integers(0, 255)),)) + good[at + 1:])


def decoded_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        decode(data)
