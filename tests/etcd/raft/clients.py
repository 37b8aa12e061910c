"""Clients of a simulated cluster: a little key-value store on Raft's core, whose answers make a history to be checked.

    put, cas, delete ─► propose ─► applied by the member that was asked ─► answer     its crash ─► unknown
    get              ─► read_index ─► that member has applied the index   ─► answer

Invariant: the store is a function of the committed log, so that any member's answers at an index are known.
"""

from __future__ import annotations

from kubelab.control_plane.etcd.raft import Dropped, RaftNode, Ready
from tests.etcd.linearizability import Operation
from tests.etcd.raft.simulator import Member, Simulation

KEYS = ("x", "y")


class ClientSimulation(Simulation):
    """A schedule whose proposals and reads are those of clients; `history` is what they saw."""

    def __init__(self, seed: int, steps: int = 400) -> None:
        self.history: list[Operation] = []
        self.proposed: dict[bytes, Operation] = {}  # by the data of its entry
        self.asked_at: dict[bytes, int] = {}  # the member that a client waits for
        self.reading: dict[bytes, Operation] = {}
        self.waiting: list[tuple[int, int, Operation]] = []  # member, index, the get that waits for it
        self.states: list[dict[str, str | None]] = [dict.fromkeys(KEYS)] * 2  # after each index
        self.results: list[bool | None] = [None, None]
        self.clock = 0
        super().__init__(seed, steps)
        self.weigh(self.weights | {self.deliver: 150, self.propose: 15, self.read: 15, self.topple: 0})

    def now(self) -> int:
        self.clock += 1
        return self.clock

    def propose(self) -> None:
        member = self.some_leader()
        if member is None or member.node is None:
            return
        rnd, number = self.random, str(len(self.history))
        kind, expect = rnd.choice(("put", "put", "cas", "delete")), rnd.choice((None, *self.states[-1].values()))
        operation = Operation(len(self.history), kind, rnd.choice(KEYS), self.now(), number, expect)
        data = number.encode()
        self.proposed[data], self.asked_at[data] = operation, member.id
        try:
            member.node.propose(data)
        except Dropped:
            return
        self.history.append(operation)
        self.after(member)

    def read(self) -> None:
        member = self.some() if self.random.random() < 0.3 else self.some_leader()
        if member is None or member.node is None:
            return
        operation = Operation(len(self.history), "get", self.random.choice(KEYS), self.now())
        context = b"%d" % len(self.history)
        self.reading[context] = operation
        if self.ask(member, member.node, context):
            self.history.append(operation)

    def crash(self, member: Member | None = None) -> None:
        super().crash(member)
        self.waiting = [each for each in self.waiting if self.members[each[0]].node is not None]

    def finish(self, member: Member, node: RaftNode, ready: Ready) -> None:
        self.waiting += [(member.id, read.index, self.reading[read.context]) for read in ready.reads]
        super().finish(member, node, ready)
        for entry in ready.committed:
            result = self.result(entry.index)
            operation = self.proposed.get(entry.data)
            if operation is not None and not operation.known and self.asked_at[entry.data] == member.id:
                operation.result, operation.returned = result, self.now()
        for each in [each for each in self.waiting if each[0] == member.id and each[1] <= member.applied]:
            self.waiting.remove(each)
            self.answer(each[2], member)

    def answer(self, get: Operation, member: Member) -> None:
        if get.known:
            return
        self.result(member.applied)
        get.result, get.returned = self.states[member.applied][get.key], self.now()

    def result(self, index: int) -> bool | None:
        """Apply what was committed up to `index`, as any member would, and return what the last of it did."""
        while len(self.states) <= index:
            entry, state = self.checker.truth[len(self.states)], dict(self.states[-1])
            operation = self.proposed.get(entry.data) if entry is not None and entry.kind == "normal" else None
            happens: bool | None = None
            if operation is not None and operation.kind == "put":
                state[operation.key] = operation.value
            elif operation is not None:
                there = state[operation.key]
                happens = there is not None if operation.kind == "delete" else there == operation.expect
                if happens:
                    state[operation.key] = None if operation.kind == "delete" else operation.value
            self.states.append(state)
            self.results.append(happens)
        return self.results[index]


def history(seed: int, kind: type[ClientSimulation] = ClientSimulation) -> list[Operation]:
    """Run one schedule and return what its clients saw; some outcomes stay unknown."""
    simulation = kind(seed)
    simulation.run()
    committed = {entry.data for entry in simulation.checker.truth if entry is not None}
    # what has no answer and never was committed happened for nobody: without it the search is shorter, and as strict
    return [each for each in simulation.history if each.known or str(each.client).encode() in committed]
