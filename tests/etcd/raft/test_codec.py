"""Messages as bytes."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.control_plane.etcd.raft import ConfState, Entry, Message, Snapshot, SnapshotMeta, codec
from kubelab.control_plane.etcd.raft.types import MessageType

numbers = st.integers(0, 2**64 - 1)
ids = st.frozensets(numbers, max_size=4)
entries = st.builds(Entry, numbers, numbers, st.sampled_from(["normal", "config"]), st.binary(max_size=30))
snapshots = st.builds(Snapshot, st.builds(SnapshotMeta, numbers, numbers, st.builds(ConfState, ids, ids)), st.binary())
types = st.sampled_from([name for name in get_args(MessageType) if name != "snapshot"])
plain = st.builds(Message, types, numbers, numbers, numbers, numbers, numbers, st.lists(entries, max_size=4).map(tuple),
                  numbers, st.booleans(), numbers, st.binary(max_size=20), st.none())
messages = plain | st.builds(lambda m, s: m._replace(type="snapshot", snapshot=s), plain, snapshots)


@given(messages)
def test_every_message_comes_back(message: Message) -> None:
    """What was encoded is decoded to the same message."""
    assert codec.decode(codec.encode(message)) == message


@given(messages, st.data())
def test_a_cut_message_is_refused(message: Message, data: st.DataObject) -> None:
    """Any beginning of a message, and a message with anything after it, is none."""
    encoded = codec.encode(message)
    with pytest.raises(ValueError, match="not a Raft message"):
        codec.decode(encoded[:data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ValueError, match="not a Raft message"):
        codec.decode(encoded + b"x")


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    """Random bytes are no message, even with the right version in front."""
    with pytest.raises(ValueError, match="not a Raft message"):
        codec.decode(b"\x01\xff" + data)
    with pytest.raises(ValueError, match="not a Raft message"):
        codec.decode(b"\x02" + data)
