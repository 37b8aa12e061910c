"""A small language for scenarios of Raft, whose whole transcript is compared with a file in golden/.

    > command      what is done; the lines below it, up to the next command, are what happened
    # text         an explanation, kept as it is

    cluster 1 2 3 [pre_vote=no] ...                  founders with empty logs; options are RaftConfig's, and first=1:
                                                     begin with a snapshot of index 1, as who wants others to join does
    log ID TERM ... [term=T]                         before anything else: a log with entries of these terms
    elect ID                                         an election of which nothing is told
    campaign|tick|propose|read|change|transfer|compact ID ...     calls of that member; tick may say how often
    run [N]                                          work and deliver (at most N messages) until nothing moves
    cut ID ... / heal / drop                         part these from the others / nobody / lose what is on its way
    crash ID / restart ID / join ID                  a crash loses nothing here: every Ready is worked on at once
    show                                             every member's role, log and commit index

    python -m tests.etcd.raft.scripts                write the transcripts anew, to be read in the diff

Invariant: time passes only where the script says so, and messages arrive in the order in which they were sent.
"""

from __future__ import annotations

import random
from pathlib import Path

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
    SnapshotMeta,
)

GOLDEN = Path(__file__).parent / "golden"
DEFAULTS = {"election_ticks": 10, "heartbeat_ticks": 1, "pre_vote": True, "check_quorum": True}


class Script:
    """One run of a script; the disks are what the members have told it to store."""

    def __init__(self) -> None:
        self.nodes: dict[int, RaftNode] = {}
        self.disks: dict[int, tuple[HardState, SnapshotMeta, list[Entry]]] = {}
        self.options: dict[str, object] = dict(DEFAULTS)
        self.conf = ConfState()
        self.network: list[Message] = []
        self.apart: set[int] = set()
        self.lines: list[str] = []

    def transcript(self, text: str) -> str:
        """Run the commands in a text and return the text with what they do now below each."""
        self.lines = []
        for line in text.splitlines():
            if line.startswith("> "):
                self.lines.append(line)
                command, *words = line[2:].split()
                getattr(self, f"do_{command}")(*words)
            elif not line or line.startswith("#"):
                self.lines.append(line)
        return "\n".join(self.lines) + "\n"

    def say(self, text: str) -> None:
        self.lines.append(text)

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────

    def do_cluster(self, *words: str) -> None:
        voters = frozenset(int(word) for word in words if word.isdigit())
        options = dict(word.split("=") for word in words if "=" in word)
        first = int(options.pop("first", 0))
        for name, value in options.items():
            self.options[name] = value == "yes" if value in ("yes", "no") else int(value)
        self.conf = ConfState(voters)
        for id_ in sorted(voters):
            self.disks[id_] = (HardState(first), SnapshotMeta(first, first, self.conf), [])
            self.boot(id_)

    def do_log(self, id_: str, *words: str) -> None:
        terms = [int(word) for word in words if "=" not in word]
        term = next((int(word[5:]) for word in words if "=" in word), max(terms))
        entries = [Entry(each, index, "normal", b"%d" % each) for index, each in enumerate(terms, 1)]
        self.disks[int(id_)] = (HardState(term), SnapshotMeta(0, 0, self.conf), entries)
        self.boot(int(id_))

    def boot(self, id_: int) -> None:
        hard, meta, entries = self.disks[id_]
        config = RaftConfig(id_, random=random.Random(id_), **self.options)  # type: ignore[arg-type]
        self.nodes[id_] = RaftNode(config, hard, meta.conf, meta, entries, meta.index)

    def do_elect(self, id_: str) -> None:
        told = len(self.lines)
        self.do_campaign(id_)
        self.do_run()
        del self.lines[told:]
        self.say(f"{id_} is {self.nodes[int(id_)].role} in term {self.nodes[int(id_)].term}")

    def do_campaign(self, id_: str) -> None:
        self.nodes[int(id_)].campaign()

    def do_tick(self, id_: str, times: str = "1") -> None:
        for _ in range(int(times)):
            self.nodes[int(id_)].tick()

    def do_propose(self, id_: str, data: str) -> None:
        self.asking(lambda: self.nodes[int(id_)].propose(data.encode()))

    def do_change(self, id_: str, op: str, member: str) -> None:
        self.asking(lambda: self.nodes[int(id_)].propose_conf(
            ConfChange(op, int(member))))  # type: ignore[arg-type]

    def do_read(self, id_: str, context: str) -> None:
        self.asking(lambda: self.nodes[int(id_)].read_index(context.encode()))

    def do_transfer(self, id_: str, to: str) -> None:
        self.asking(lambda: self.nodes[int(id_)].transfer_leader(int(to)))

    def asking(self, call: object) -> None:
        try:
            call()  # type: ignore[operator]
        except (NotLeader, Dropped) as error:
            self.say(f"{type(error).__name__}: {error}")

    def do_compact(self, id_: str, index: str) -> None:
        node = self.nodes[int(id_)]
        node.compact(int(index), node.conf)
        hard, _, entries = self.disks[int(id_)]
        self.disks[int(id_)] = (hard, node.log.snapshot, [e for e in entries if e.index > int(index)])

    def do_cut(self, *ids: str) -> None:
        self.apart = set(map(int, ids))

    def do_heal(self) -> None:
        self.apart = set()

    def do_drop(self) -> None:
        self.network = []

    def do_crash(self, id_: str) -> None:
        del self.nodes[int(id_)]

    def do_restart(self, id_: str) -> None:
        self.boot(int(id_))

    def do_join(self, id_: str) -> None:
        self.disks[int(id_)] = (HardState(), SnapshotMeta(0, 0, ConfState()), [])
        self.boot(int(id_))

    def do_run(self, limit: str = "1000") -> None:
        left = int(limit)
        while True:
            for id_, node in sorted(self.nodes.items()):
                while node.has_ready():
                    self.work(id_, node, node.ready())
            if not self.network or not left:
                return
            left -= 1
            message = self.network.pop(0)
            lost = message.to not in self.nodes or (message.to in self.apart) != (message.from_ in self.apart)
            self.say(f"{message.from_} ─► {message.to}  {shown(message)}{'  lost' if lost else ''}")
            if message.type == "snapshot" and message.from_ in self.nodes:
                self.nodes[message.from_].report_snapshot(message.to, not lost)
            if not lost:
                self.nodes[message.to].step(message)

    def work(self, id_: int, node: RaftNode, ready: Ready) -> None:
        hard, meta, entries = self.disks[id_]
        if ready.soft is not None:
            leader = f", leader {ready.soft.leader}" if ready.soft.leader not in (0, id_) else ""
            self.say(f"{id_} is {ready.soft.role} in term {node.term}{leader}")
        if ready.snapshot is not None:
            meta, entries = ready.snapshot.meta, []
            self.say(f"{id_} restores a snapshot of {meta.index}/{meta.term}, {members(meta.conf)}")
        if ready.entries:
            entries = [entry for entry in entries if entry.index < ready.entries[0].index] + list(ready.entries)
            self.say(f"{id_} stores {listed(ready.entries)}")
        self.disks[id_] = (ready.hard or hard, meta, entries)
        self.network += ready.messages
        for read in ready.reads:
            self.say(f"{id_} may answer {read.context.decode()} once it has applied {read.index}")
        if ready.committed:
            self.say(f"{id_} applies {listed(ready.committed)}")
        for entry in ready.committed:
            if entry.kind == "config":
                self.say(f"{id_} knows {members(node.apply_conf(ConfChange.decode(entry.data)))}")
        node.advance(ready)

    def do_show(self) -> None:
        for id_ in sorted(self.disks):
            node = self.nodes.get(id_)
            if node is None:
                self.say(f"{id_} is down")
                continue
            log = node.log
            begins = f"({log.snapshot.index}/{log.snapshot.term}) " if log.snapshot.index else ""
            terms = " ".join(str(entry.term) for entry in log.slice(log.first, log.last))
            self.say(f"{id_} {node.role:13} term {node.term:<2} commit {node.commit:<2} log {begins}{terms}")


# ── how things are written ───────────────────────────────────────────────────────────────────────────────────────


def listed(entries: tuple[Entry, ...]) -> str:
    """Write entries as index/term and what they hold."""
    return " ".join(f"{e.index}/{e.term}{content(e)}" for e in entries)


def content(entry: Entry) -> str:
    if entry.kind == "config":
        change = ConfChange.decode(entry.data)
        return f":{change.op}-{change.member}"
    return f":{entry.data.decode()}" if entry.data else ""


def members(conf: ConfState) -> str:
    learners = f" and learners {sorted(conf.learners)}" if conf.learners else ""
    return f"voters {sorted(conf.voters)}{learners}"


def shown(m: Message) -> str:
    """Write a message with the fields that mean something for its type."""
    details = ""
    if m.type in ("vote", "pre-vote"):
        details = f"log ends {m.index}/{m.log_term}{' by transfer' if m.context else ''}"
    elif m.type == "append":
        details = f"after {m.index}/{m.log_term} [{listed(m.entries)}] commit {m.commit}"
    elif m.type == "append-response":
        details = f"not {m.index}, try {m.reject_hint}/{m.log_term}" if m.reject else f"has {m.index}"
    elif m.type.endswith("vote-response"):
        details = "no" if m.reject else "yes"
    elif m.type.startswith("heartbeat"):
        number = f"read {int.from_bytes(m.context, 'big')}" if m.context else ""
        details = f"commit {m.commit} {number}" if m.type == "heartbeat" else number
    elif m.snapshot is not None:
        details = f"of {m.snapshot.meta.index}/{m.snapshot.meta.term}"
    elif m.context:
        details = f"{m.context.decode()} {m.index or ''}"
    return f"{m.type} t{m.term} {details}".rstrip()


def all_scripts() -> list[Path]:
    return sorted(GOLDEN.glob("*.txt"))


if __name__ == "__main__":
    for path in all_scripts():
        path.write_text(Script().transcript(path.read_text()))
