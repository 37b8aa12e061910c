"""Tell whether concurrent clients could have seen one single store: a checker of linearizability.

    client 1   ├── put x=1 ──┤      ├─ get x → 1 ─┤        is there one order of the operations, each somewhere between
    client 2        ├──── put x=2 ── ? (timed out)          its call and its return, in which every answer is right?

    history ─► one history a key ─► search: take any operation that was called before the first one still open returned

Invariant: an operation whose outcome is unknown may have happened at any time after its call, or never.
Models:    Wing and Gong's search with Lowe's memory of (operations done, state), a key at a time as in Porcupine
Left out:  operations on several keys at once
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Operation:
    """One call of a client. `result` is the value a get saw, whether a cas or a delete did anything; None for a put.

    `returned` stays infinite while the outcome is unknown: in flight, timed out, or failed on the way.
    """

    client: int
    kind: Literal["get", "put", "delete", "cas"]
    key: str
    called: float
    value: str | None = None  # what a put or a cas writes
    expect: str | None = None  # what a cas wants to find; None: nothing there
    result: str | bool | None = None
    returned: float = math.inf

    @property
    def known(self) -> bool:
        return self.returned < math.inf

    def __str__(self) -> str:
        written = {"put": f"={self.value}", "cas": f"={self.value} if {self.expect}"}.get(self.kind, "")
        outcome = f"─► {self.result}" if self.known else "─► ?"
        return f"[{self.called:g}..{self.returned:g}] client {self.client}: {self.kind} {self.key}{written} {outcome}"


class NotLinearizable(AssertionError):
    """No order of the operations on a key explains all answers; the message shows how far the best one gets."""


def step(operation: Operation, state: str | None) -> tuple[bool, str | None]:
    """Let an operation happen in a state: return whether its answer is right, and the state after it."""
    if operation.kind == "get":
        return operation.result == state, state
    if operation.kind == "put":
        return True, operation.value
    happens = state is not None if operation.kind == "delete" else state == operation.expect
    after = (None if operation.kind == "delete" else operation.value) if happens else state
    return not operation.known or operation.result == happens, after


def check(history: Iterable[Operation], initial: str | None = None) -> None:
    """Check a whole history, every key beginning with `initial`. Raises NotLinearizable."""
    keys: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        if operation.known or operation.kind != "get":  # a get of which nothing came back says nothing
            keys[operation.key].append(operation)
    for key, operations in sorted(keys.items()):
        order, done = _search(sorted(operations, key=lambda op: op.called), initial)
        if not done:
            lines = "\n  ".join(map(str, order))
            rest = "\n  ".join(str(op) for op in operations if op not in order and op.known)
            raise NotLinearizable(f"key {key}: after\n  {lines or '(nothing)'}\nnone of these can come next, "
                                  f"with the answers that were given:\n  {rest}")


def _search(operations: Sequence[Operation], initial: str | None) -> tuple[list[Operation], bool]:
    """Return an order of all known operations and True, or the longest order that was found and False."""
    wanted = sum(1 << at for at, operation in enumerate(operations) if operation.known)
    seen: set[tuple[int, str | None]] = set()
    chosen: list[int] = []
    longest: list[int] = []
    stack = [(0, initial, _next(operations, 0))]
    while stack:
        done, state, candidates = stack[-1]
        if done & wanted == wanted:
            return [operations[at] for at in chosen], True
        for at in candidates:
            right, after = step(operations[at], state)
            now = done | 1 << at
            if right and (now, after) not in seen:
                seen.add((now, after))
                chosen.append(at)
                stack.append((now, after, _next(operations, now)))
                break
        else:
            if len(chosen) > len(longest):
                longest = chosen.copy()
            stack.pop()
            if chosen:
                chosen.pop()
    return [operations[at] for at in longest], False


def _next(operations: Sequence[Operation], done: int) -> Iterator[int]:
    """Return what may happen next: everything called before the first return of what has not happened yet."""
    limit, ready = math.inf, []
    for at, operation in enumerate(operations):  # in the order of their calls
        if operation.called > limit:
            break
        if not done >> at & 1:
            ready.append(at)
            limit = min(limit, operation.returned)
    # what returned first probably happened first; what never returned is tried last, for most of it explains nothing
    return iter(sorted((at for at in ready if operations[at].called <= limit), key=lambda at: operations[at].returned))
