"""The checker of linearizability itself: what it accepts, and what it must not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.etcd.linearizability import NotLinearizable, Operation, check


def op(kind: Any, called: float, returned: float | None, client: int = 1, key: str = "x", **fields: Any) -> Operation:
    operation = Operation(client, kind, key, called, **fields)
    if returned is not None:
        operation.returned = returned
    return operation


VALID = {
    "one after the other": [op("put", 0, 1, value="a"), op("get", 2, 3, result="a"), op("delete", 4, 5, result=True),
                            op("get", 6, 7, result=None)],
    "a concurrent read sees the old value": [op("put", 0, 9, value="a"), op("get", 1, 2, client=2, result=None)],
    "a concurrent read sees the new value": [op("put", 0, 9, value="a"), op("get", 1, 2, client=2, result="a")],
    "two writes in either order": [op("put", 0, 9, value="a"), op("put", 0, 9, client=2, value="b"),
                                   op("get", 10, 11, result="a")],
    "a lost answer, and it happened": [op("put", 0, None, value="a"), op("get", 5, 6, result="a")],
    "a lost answer, and it never happened": [op("put", 0, None, value="a"), op("get", 5, 6, result=None)],
    "a lost answer that happens late": [op("put", 0, None, value="a"), op("put", 1, 2, client=2, value="b"),
                                        op("get", 3, 4, result="b"), op("get", 5, 6, result="a")],
    "cas succeeds for one of two": [op("cas", 0, 5, value="a", expect=None, result=True),
                                    op("cas", 0, 5, client=2, value="b", expect=None, result=False)],
    "keys are independent": [op("put", 0, 1, value="a"), op("get", 2, 3, key="y", result=None)],
}

INVALID = {
    "a stale read": [op("put", 0, 1, value="a"), op("put", 2, 3, value="b"), op("get", 4, 5, client=2, result="a")],
    "a lost acknowledged write": [op("put", 0, 1, value="a"), op("get", 2, 3, result=None)],
    "time going back": [op("put", 0, 9, value="a"), op("get", 1, 2, client=2, result="a"),
                        op("get", 3, 4, client=2, result=None)],
    "time going back for another reader": [op("put", 0, None, value="a"), op("get", 1, 2, client=2, result="a"),
                                           op("get", 3, 4, client=3, result=None)],
    "a value from nowhere": [op("get", 0, 1, result="z")],
    "a write before it was called": [op("get", 0, 1, result="a"), op("put", 2, 3, value="a")],
    "cas succeeds for both": [op("cas", 0, 5, value="a", expect=None, result=True),
                              op("cas", 0, 5, client=2, value="b", expect=None, result=True)],
    "cas refused without reason": [op("put", 0, 1, value="a"),
                                   op("cas", 2, 3, value="b", expect="a", result=False)],
    "a deletion of nothing": [op("delete", 0, 1, result=True)],
}


@pytest.mark.parametrize("name", VALID)
def test_accepts(name: str) -> None:
    """A history that one store could have given is accepted."""
    check(VALID[name])


@pytest.mark.parametrize("name", INVALID)
def test_rejects(name: str) -> None:
    """A history that no single store could have given is rejected."""
    with pytest.raises(NotLinearizable, match="key x: after"):
        check(INVALID[name])


def one_store(seed: int) -> list[Operation]:
    """Return what six clients see of a store that does each operation at one instant between call and return."""
    rnd, state, history = random.Random(seed), None, []  # type: random.Random, str | None, list[Operation]
    free = dict.fromkeys(range(6), 0.0)
    for number in range(120):
        client = min(free, key=lambda each: free[each])
        instant = free[client] + rnd.random()
        kind = rnd.choice(("get", "put", "cas", "delete"))
        operation = Operation(client, kind, "x", instant - rnd.random() * 0.9, str(number), rnd.choice((state, "no")))
        history.append(operation)
        operation.returned = instant + rnd.random() * 3
        free[client] = operation.returned + 1
    for operation in sorted(history, key=lambda each: each.called + 0.5):  # an instant of each, in order
        if operation.returned < operation.called + 0.5:
            operation.returned = operation.called + 0.6
        if operation.kind == "get":
            operation.result = state
        elif operation.kind == "put":
            state = operation.value
        else:
            happens = state is not None if operation.kind == "delete" else state == operation.expect
            operation.result = happens
            if happens:
                state = None if operation.kind == "delete" else operation.value
    return history


@pytest.mark.parametrize("seed", range(30))
def test_random_histories(seed: int) -> None:
    """Histories of one store pass, also with outcomes unknown; with one answer falsified they do not."""
    history = one_store(seed)
    check(history)
    get = next(operation for operation in reversed(history) if operation.kind == "get")
    truth, get.result = get.result, "never written"
    with pytest.raises(NotLinearizable):
        check(history)
    get.result = truth
    for operation in random.Random(seed).sample([o for o in history if o.kind != "get"], 8):
        operation.returned = float("inf")
    check(history)
