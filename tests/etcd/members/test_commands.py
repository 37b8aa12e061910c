"""Commands as bytes: what goes in comes out, and nothing else does any harm."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.control_plane.etcd.api import Compare, DeleteRange, NestedTxn, Put, Range
from kubelab.control_plane.etcd.members.commands import (
    Command,
    Compaction,
    GrantLease,
    Publish,
    RenewLease,
    Request,
    RevokeLease,
    SetAlarm,
    Transaction,
    decode,
    encode,
)

KEY, I64, U64 = st.binary(max_size=20), st.integers(-2**63, 2**63 - 1), st.integers(0, 2**64 - 1)
END = st.none() | KEY
OPERATOR = st.sampled_from(("=", "!=", "<", ">"))
COMPARE = st.builds(Compare, KEY, st.sampled_from(("version", "create", "mod", "lease")), OPERATOR, I64, END) \
    | st.builds(Compare, KEY, st.just("value"), OPERATOR, KEY, END)
SIMPLE = st.builds(Put, KEY, KEY, I64, st.booleans(), st.booleans(), st.booleans()) \
    | st.builds(DeleteRange, KEY, END, st.booleans()) \
    | st.builds(Range, KEY, END, I64, I64, st.booleans(), st.booleans(),
                st.sampled_from(("key", "version", "create", "mod", "value")),
                st.sampled_from(("none", "ascend", "descend")), I64, I64, I64, I64, st.booleans())


def txn(kind: Any, ops: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, st.lists(COMPARE, max_size=3), st.lists(ops, max_size=3), st.lists(ops, max_size=3))


OPS: st.SearchStrategy[Any] = st.recursive(SIMPLE, lambda inner: txn(NestedTxn, inner), max_leaves=6)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    txn(Transaction, OPS), st.builds(GrantLease, I64, I64), st.builds(RenewLease, I64), st.builds(RevokeLease, I64),
    st.builds(Compaction, I64), st.builds(SetAlarm, U64, st.sampled_from(("NOSPACE", "CORRUPT")), st.booleans()),
    st.builds(Publish, U64, st.text(max_size=9), st.lists(st.text(max_size=9), max_size=3).map(tuple)))


@given(U64, U64, COMMANDS)
def test_what_goes_in_comes_out(request_: int, until: int, command: Command) -> None:
    """Every command is the same after its way through the log."""
    assert decode(encode(request_, until, command)) == Request(request_, until, command)


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    """Bytes of anyone else are a command or a ValueError."""
    decoded_or_refused(data)


@given(COMMANDS, st.data())
def test_damaged_bytes(command: Command, data: st.DataObject) -> None:
    """A command that was cut off is refused; one with a byte changed is another one, or refused."""
    good = encode(1, 2, command)
    with pytest.raises(ValueError, match="not a command"):
        decode(good[:data.draw(st.integers(0, len(good) - 1))])
    at = data.draw(st.integers(0, len(good) - 1))
    decoded_or_refused(good[:at] + bytes((data.draw(st.integers(0, 255)),)) + good[at + 1:])


def decoded_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        decode(data)


def test_a_transaction_too_deep_is_refused() -> None:
    """Branches within branches without end are no command, and end no member."""
    with pytest.raises(ValueError, match="not a command"):
        decode(encode(1, 2, Transaction((), ()))[:17] + (b"\0\0\0\0\1\0\0\0\0\0\0\0" + b"\4") * 5_000)


@pytest.mark.parametrize(("target", "value"), [("value", 5), ("mod", b"5")])
def test_a_compare_with_the_wrong_kind_of_value_is_refused_where_it_is_made(target: Any, value: Any) -> None:
    """It would fail on every member alike, again and again."""
    with pytest.raises(TypeError, match="a compare of"):
        encode(1, 2, Transaction((Compare(b"k", target, "<", value),), ()))
