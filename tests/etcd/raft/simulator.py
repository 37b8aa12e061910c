"""Random schedules of a whole cluster: messages get lost and reordered, members crash and forget, all from one seed.

    seed ─► profile (size, options, what goes wrong how often) ─► steps, each checked ─► a Violation names the seed

    python -m tests.etcd.raft.simulator --schedules 20000 --seed 0     many schedules, from seed 0 on
    python -m tests.etcd.raft.simulator --replay 4711                  one of them, step by step

    a member's disk:  write ─► (cache) ─► fsync ─► safe      a crash loses what is in the cache, or any tail of it

Invariant: nothing but the seed decides; messages leave a member only after what they promise is safe on its disk.
"""

from __future__ import annotations

import argparse
import random
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from kubelab.control_plane.etcd.raft import (
    ConfChange,
    ConfState,
    Dropped,
    Entry,
    HardState,
    Message,
    NotLeader,
    RaftConfig,
    RaftNode,
    Ready,
    Snapshot,
    SnapshotMeta,
)
from tests.etcd.raft.checker import Checker, Violation

STEPS = 220


class Disk:
    """What survives a crash."""

    def __init__(self, snapshot: Snapshot, conf: ConfState) -> None:
        self.snapshot, self.entries = snapshot, []  # type: Snapshot, list[Entry]
        self.hard: HardState | None = None
        self.founders = conf

    def write(self, entries: tuple[Entry, ...]) -> None:
        if entries:
            del self.entries[max(entries[0].index - self.snapshot.meta.index - 1, 0):]
            self.entries += entries

    def term_at(self, index: int) -> int:
        at = index - self.snapshot.meta.index
        return self.entries[at - 1].term if 0 < at <= len(self.entries) else self.snapshot.meta.term if at == 0 else 0

    @property
    def end(self) -> tuple[int, int]:
        """The term and the index of the last entry: what a vote is decided by."""
        last = self.snapshot.meta.index + len(self.entries)
        return self.term_at(last), last

    def has(self, index: int, term: int) -> bool:
        return index < self.snapshot.meta.index or self.term_at(index) == term

    def take_snapshot(self, snapshot: Snapshot) -> None:
        gone = snapshot.meta.index - self.snapshot.meta.index
        keep = self.term_at(snapshot.meta.index) == snapshot.meta.term
        self.entries = self.entries[gone:] if keep else []
        self.snapshot = snapshot


class Member:
    """One member: its disk, its state machine (a digest of all it applied), and the Ready it works on."""

    def __init__(self, id_: int, disk: Disk, cluster: dict[int, Member]) -> None:
        self.id, self.disk, self.cluster = id_, disk, cluster
        self.node: RaftNode | None = None
        self.ready: Ready | None = None
        self.paused = False

    def start(self, config: RaftConfig) -> None:
        meta = self.disk.snapshot.meta
        self.applied, self.digest, self.conf = meta.index, int(self.disk.snapshot.data or 0), meta.conf
        self.confs = {meta.index: meta.conf}  # the members at each index where they changed
        self.led: tuple[int, int, int] | None = None
        self.node = RaftNode(config, self.disk.hard, meta.conf, meta, tuple(self.disk.entries), meta.index)
        self.seen_commit = self.node.commit
        self.ready = None

    def crash(self) -> None:
        self.node, self.ready, self.led = None, None, None


def conf_at(member: Member, index: int) -> ConfState:
    return member.confs[max(at for at in member.confs if at <= index)]


class Simulation:
    """One schedule."""

    def __init__(self, seed: int, steps: int = STEPS) -> None:
        self.seed, self.steps = seed, steps
        self.random = rnd = random.Random(seed)
        self.trace: Callable[[str], None] | None = None
        self.happened: Counter[str] = Counter()
        # the profile: what goes wrong in this schedule, and how often
        size = rnd.choice((1, 2, 3, 3, 3, 3, 5, 5))
        self.options = {"election_ticks": rnd.choice((2, 3, 5)), "pre_vote": rnd.random() < 0.6,
                        "check_quorum": rnd.random() < 0.6, "max_inflight": rnd.choice((1, 2, 8)),
                        "max_append_bytes": rnd.choice((0, 2, 1000))}
        self.loss, self.repeat, self.reorder, self.hold = (rnd.choice(odds) for odds in (
            (0, 0, 0.05, 0.2), (0, 0, 0.1), (0, 0.3, 1), (0, 0, 0.2)))
        actions = {self.deliver: 60, self.tick: 18, self.work: 10, self.propose: 8, self.crash: rnd.choice((0, 1, 4)),
                   self.restart: rnd.choice((2, 4)), self.cut: rnd.choice((0, 1, 4)), self.heal: rnd.choice((1, 3)),
                   self.read: rnd.choice((0, 6)), self.compact: rnd.choice((0, 0, 2)),
                   self.change: rnd.choice((0, 0, 6)), self.pause: rnd.choice((0, 0, 1)),
                   self.transfer: rnd.choice((0, 0, 1)), self.campaign: rnd.choice((0, 1, 6)),
                   self.topple: rnd.choice((0, 0, 6))}
        if rnd.random() < 0.2:  # leaders that fall one after the other, as in the dissertation's figure 3.7
            self.options |= {"pre_vote": False, "check_quorum": False, "max_append_bytes": 0}
            actions |= dict.fromkeys((self.propose, self.heal, self.change, self.compact, self.read), 1)
            actions |= {self.topple: 12, self.deliver: 100}
        self.weigh(actions)

        conf = ConfState(frozenset(range(1, size + 1)))
        self.checker = Checker(conf)
        self.network: list[Message] = []
        self.blocked: set[tuple[int, int]] = set()
        self.members: dict[int, Member] = {}
        self.proposals = self.reads = 0
        for id_ in sorted(conf.voters):
            self.join(id_, Snapshot(SnapshotMeta(1, 1, conf)))

    def weigh(self, actions: dict[Callable[[], None], int]) -> None:
        """Say how often each step shall be taken."""
        self.weights = actions
        self.actions, self.cumulated = list(actions), list(accumulate(actions.values()))

    def join(self, id_: int, snapshot: Snapshot) -> None:
        member = self.members[id_] = Member(id_, Disk(snapshot, snapshot.meta.conf), self.members)
        self.boot(member)

    def boot(self, member: Member) -> None:
        member.start(RaftConfig(member.id, random=random.Random(self.random.getrandbits(32)), **self.options))

    def say(self, what: str, *details: object) -> None:
        self.happened[what] += 1
        if self.trace is not None:
            self.trace(f"{what} {' '.join(map(str, details))}")

    def run(self) -> None:
        """Run the whole schedule. Raises Violation, or AssertionError from inside the core."""
        rnd, actions, cumulated = self.random, self.actions, self.cumulated
        some = rnd.choice(list(self.members.values()))
        assert some.node is not None
        some.node.campaign()  # most schedules shall not spend their steps on a first election
        self.work(some)
        for _ in range(self.steps):
            actions[bisect(cumulated, rnd.random() * cumulated[-1])]()

    # ── time, network, disk ──────────────────────────────────────────────────────────────────────────────────

    def some(self) -> Member | None:
        """Pick a member that runs."""
        member = self.random.choice(list(self.members.values()))
        return None if member.node is None or member.paused else member

    def tick(self) -> None:
        member = self.some()
        if member is not None and member.node is not None:
            member.node.tick()
            self.after(member)

    def deliver(self) -> None:
        network, rnd = self.network, self.random
        if not network:
            self.tick()
            return
        at = rnd.randrange(len(network)) if rnd.random() < self.reorder else 0
        message = network[at]
        member = self.members[message.to]
        if member.paused:
            return
        if not (self.repeat and rnd.random() < self.repeat):
            network.pop(at)
        lost = member.node is None or (message.from_, message.to) in self.blocked or rnd.random() < self.loss
        if message.type == "snapshot":
            sender = self.members[message.from_]
            if sender.node is not None:
                sender.node.report_snapshot(message.to, not lost)
        if lost or member.node is None:
            self.happened["lost"] += 1
            return
        if self.trace is not None:
            self.trace(f"deliver {message}")
        member.node.step(message)
        self.after(member)

    def after(self, member: Member) -> None:
        self.checker.look(member)
        if not self.hold or self.random.random() >= self.hold:
            self.work(member)

    def work(self, member: Member | None = None) -> None:
        """Do what a member's Ready asks for; a slow disk may keep it for later."""
        member = member or self.some()
        while member is not None and member.node is not None:
            if member.ready is None:
                if not member.node.has_ready():
                    return
                member.ready = member.node.ready()
                if self.hold and self.random.random() < self.hold:
                    return
            self.store(member, member.ready)
            self.finish(member, member.node, member.ready)

    def store(self, member: Member, ready: Ready) -> None:
        if ready.snapshot is not None:
            member.disk.take_snapshot(ready.snapshot)
        self.checker.stored(member, ready.entries)
        member.disk.write(ready.entries)
        if ready.hard is not None and (ready.must_sync or self.random.random() < 0.5):
            member.disk.hard = ready.hard  # without must_sync it may never have left the cache

    def finish(self, member: Member, node: RaftNode, ready: Ready) -> None:
        """Send, apply, advance: everything is on disk now."""
        for message in ready.messages:
            self.checker.sent(message)
            if message.type == "snapshot":
                message = message._replace(snapshot=member.disk.snapshot)
            if message.to in self.members:
                self.network.append(message)
        for read in ready.reads:
            self.checker.answered(read)
        if ready.snapshot is not None:
            meta, data = ready.snapshot
            self.checker.restored(member, meta.index, int(data or 0))
            member.applied, member.digest, member.conf = meta.index, int(data or 0), meta.conf
            member.confs = {meta.index: meta.conf}
            self.happened["snapshots restored"] += 1
        for entry in ready.committed:
            self.checker.applied(member, entry)
            member.applied = entry.index
            member.digest = self.checker.digests[entry.index]
            if entry.kind == "config":
                member.conf = member.confs[entry.index] = node.apply_conf(ConfChange.decode(entry.data))
                self.happened["changes applied"] += 1
        node.advance(ready)
        member.ready = None
        self.checker.look(member)

    def crash(self, member: Member | None = None) -> None:
        """Stop a member in the middle of whatever it does: any part of what was not yet safe is lost."""
        member = member or self.some()
        if member is None or member.node is None:
            return
        ready = member.ready or (member.node.ready() if member.node.has_ready() else None)
        if ready is not None:
            stage = self.random.randrange(3)
            if stage == 0 and ready.snapshot is None:  # some tail of the write is torn off
                kept = ready.entries[:self.random.randint(0, len(ready.entries))]
                if ready.hard is not None and self.random.random() < 0.5:
                    member.disk.hard = ready.hard
                self.checker.stored(member, kept)
                member.disk.write(kept)
            elif stage == 1:  # all is safe, nothing was sent
                self.store(member, ready)
            elif stage == 2:  # all is safe, some of it was sent
                self.store(member, ready)
                for message in ready.messages[:self.random.randint(0, len(ready.messages))]:
                    if message.type != "snapshot" and message.to in self.members:
                        self.checker.sent(message)
                        self.network.append(message)
        self.say("crash", member.id)
        member.crash()

    def topple(self) -> None:
        """Crash a leader just after it took a proposal, while another stands, with members that crashed before back."""
        self.propose()
        leader = self.some_leader()
        if leader is not None:
            self.crash(leader)
            for member in self.members.values():
                if member.node is None and member is not leader:
                    self.boot(member)
            self.campaign()

    def restart(self) -> None:
        for member in self.members.values():
            member.paused = False
            if member.node is None:
                self.say("restart", member.id)
                self.boot(member)
                return

    def pause(self) -> None:
        member = self.some()
        if member is not None:
            self.say("pause", member.id)
            member.paused = True

    def cut(self) -> None:
        """Part the members in two, or the leader from all others, sometimes in one direction only."""
        ids, leader = list(self.members), self.some_leader()
        if leader is not None and self.random.random() < 0.5:
            side = {leader.id}
        else:
            side = {id_ for id_ in ids if self.random.random() < 0.4}
        one_way = self.random.random() < 0.2
        self.say("cut", side, "one way" if one_way else "")
        self.blocked = {(a, b) for a in ids for b in ids
                        if (a in side and b not in side) or (not one_way and b in side and a not in side)}

    def heal(self) -> None:
        self.say("heal")
        self.blocked = set()
        for member in self.members.values():
            member.paused = False

    # ── what clients and administrators do ───────────────────────────────────────────────────────────────────

    def some_leader(self) -> Member | None:
        leaders = [m for m in self.members.values() if m.node is not None and not m.paused and m.node.role == "leader"]
        return self.random.choice(leaders) if leaders else None

    def propose(self) -> None:
        member = self.some_leader()
        if member is not None and member.node is not None:
            self.proposals += 1
            try:
                member.node.propose(b"%d" % self.proposals)
            except Dropped:
                return
            self.say("propose", member.id, self.proposals)
            self.after(member)

    def read(self) -> None:
        member = self.some() if self.random.random() < 0.3 else self.some_leader()  # maybe one that was deposed
        if member is not None and member.node is not None:
            self.reads += 1
            self.ask(member, member.node, b"%d" % self.reads)

    def ask(self, member: Member, node: RaftNode, context: bytes) -> bool:
        """Ask a member for the index to read at; return whether it took the question."""
        self.checker.asked(context)
        try:
            node.read_index(context)
        except NotLeader:
            return False
        self.say("read", member.id, context)
        self.after(member)
        return True

    def compact(self) -> None:
        """Have a member snapshot its state, and forget all its log before it or keep some for slow followers."""
        member = self.some()
        if member is None or member.node is None or member.ready is not None:
            return
        index, node = member.applied, member.node
        if index > member.disk.snapshot.meta.index and index >= node.log.snapshot.index:  # else a newer one just came
            meta = SnapshotMeta(index, node.log.term_at(index) or 0, member.conf)
            member.disk.take_snapshot(Snapshot(meta, b"%d" % member.digest))
            upto = self.random.randint(max(node.log.snapshot.index, min(member.confs)), index)
            node.compact(upto, conf_at(member, upto))
            self.say("compact", member.id, index, upto)

    def change(self) -> None:
        member = self.some_leader()
        if member is None or member.node is None:
            return
        conf, rnd = member.node.conf, self.random
        new = max(self.members) + 1
        choices = [("promote", id_) for id_ in sorted(conf.learners)] * 2
        choices += [("remove", id_) for id_ in sorted(conf.voters | conf.learners)]
        choices += [(op, id_) for op in ("add", "add_learner") for id_ in (new, *(self.members.keys() - conf.voters))]
        op, id_ = rnd.choice(choices)
        if op == "remove" and id_ == member.id and len(conf.voters) == 2:
            return  # if it dies at once, the other needs a vote from one who left: see membership.py
        try:
            member.node.propose_conf(ConfChange(op, id_))  # type: ignore[arg-type]
        except Dropped:
            return
        self.say("change", member.id, op, id_)
        if id_ not in self.members:
            self.join(id_, Snapshot(SnapshotMeta(0, 0, ConfState())))
        self.after(member)

    def transfer(self) -> None:
        member = self.some_leader()
        if member is not None and member.node is not None:
            to = self.random.choice(sorted(member.node.conf.voters))
            self.say("transfer", member.id, to)
            member.node.transfer_leader(to)
            self.after(member)

    def campaign(self) -> None:
        member = self.some()
        if member is not None and member.node is not None:
            self.say("campaign", member.id)
            member.node.campaign()
            self.after(member)

    # ── the calm after ───────────────────────────────────────────────────────────────────────────────────────

    def settle(self, rounds: int = 400) -> None:
        """Heal everything and wait until every member has applied a new proposal. Raises Violation if that never is."""
        self.heal()
        self.loss = self.repeat = self.reorder = self.hold = 0
        for member in self.members.values():
            if member.node is None:
                self.boot(member)
        target = term = 0
        for _ in range(rounds):
            for member in list(self.members.values()):
                assert member.node is not None
                member.node.tick()
                self.after(member)
            for _ in range(1000):
                if not self.network:
                    break
                self.deliver()
            leader = self.some_leader()
            if leader is not None and leader.node is not None and leader.node.term > term:
                self.proposals += 1
                try:
                    target, term = leader.node.propose(b"%d" % self.proposals), leader.node.term
                except Dropped:
                    continue
            if target and self.checker.committed >= target and self.agreed():
                return
        raise Violation(f"liveness: after everything healed, {rounds} rounds were not enough")

    def agreed(self) -> bool:
        leader = self.some_leader()
        if leader is None or leader.node is None:
            return False
        members = leader.node.conf.voters | leader.node.conf.learners
        return all(self.members[id_].applied == self.checker.committed for id_ in members)


def run(seed: int, trace: Callable[[str], None] | None = None, steps: int = STEPS) -> Simulation:
    """Run one schedule; every eighth is healed at its end and has to go on. An error is given the seed as a note."""
    simulation = Simulation(seed, steps)
    simulation.trace = trace
    try:
        simulation.run()
        if seed % 8 == 0:
            simulation.settle()
    except AssertionError as error:
        error.add_note(f"seed {seed}: replay with  python -m tests.etcd.raft.simulator --replay {seed} --steps {steps}")
        raise
    return simulation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps a schedule")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one schedule and print its steps")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        run(arguments.replay, print, arguments.steps)
        return
    began, happened, committed, answered = time.perf_counter(), Counter(), 0, 0  # type: float, Counter[str], int, int
    for seed in range(arguments.seed, arguments.seed + arguments.schedules):
        simulation = run(seed, steps=arguments.steps)
        happened += simulation.happened
        committed += simulation.checker.committed
        answered += simulation.checker.reads_answered
    print(f"{arguments.schedules} schedules from seed {arguments.seed} hold: {time.perf_counter() - began:.1f} s, "
          f"{committed} entries committed, {answered} reads answered, "
          + ", ".join(f"{count} {what}" for what, count in sorted(happened.items())))


if __name__ == "__main__":
    main()
