"""The graph of owners and dependents, kept from the events of every kind.

    ADDED / MODIFIED ─► node for its uid, edges to the uids of its ownerReferences
    DELETED ──────────► node goes; its dependents have to be looked at

Invariant: `dependents` of a uid are exactly the nodes whose ownerReferences name it, whether or not it exists itself.
Models:    pkg/controller/garbagecollector, graph_builder.go
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(slots=True, eq=False)
class Node:
    """One object as far as garbage collection is concerned."""

    kind: Kind
    uid: str
    name: str
    namespace: str
    owners: tuple[dict[str, Any], ...]
    finalizers: tuple[str, ...]
    terminating: bool

    @classmethod
    def of(cls, kind: Kind, obj: Obj) -> Node:
        meta = obj["metadata"]
        return cls(kind, meta["uid"], meta["name"], meta.get("namespace", ""), tuple(meta.get("ownerReferences") or ()),
                   tuple(meta.get("finalizers") or ()), "deletionTimestamp" in meta)

    @property
    def waits_for_dependents(self) -> bool:
        return self.terminating and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.terminating and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Tell whether an owner in foreground deletion has to wait for this dependent."""
        return any(o["uid"] == owner_uid and o.get("blockOwnerDeletion") for o in self.owners)


@dataclass(slots=True)
class Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    _dependents: dict[str, dict[str, Node]] = field(default_factory=dict)

    def put(self, node: Node) -> Node | None:
        """Take in an object; return what stood there before."""
        old = self.nodes.get(node.uid)
        if old is not None:
            self._unlink(old)
        self.nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner["uid"], {})[node.uid] = node
        return old

    def remove(self, uid: str) -> Node | None:
        old = self.nodes.pop(uid, None)
        if old is not None:
            self._unlink(old)
        return old

    def dependents(self, uid: str) -> list[Node]:
        return list(self._dependents.get(uid, {}).values())

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            of_owner = self._dependents.get(owner["uid"])
            if of_owner is not None:
                of_owner.pop(node.uid, None)
                if not of_owner:
                    del self._dependents[owner["uid"]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of an object: `keep`, `delete` with a policy, or `drop` some of its owner references."""

    action: str  # keep | delete | drop
    policy: str = ""  # Foreground | Background | Orphan
    drop: frozenset[str] = frozenset()  # uids of owners to take off
    unblock: bool = False  # first say that no owner has to wait for it, lest a circle waits for itself


def judge(node: Node, absent: Iterable[str], graph: Graph) -> Verdict:
    """Decide by the state of the owners; `absent` are the owner uids that do not exist."""
    gone = frozenset(absent)
    waiting = frozenset(o["uid"] for o in node.owners
                        if o["uid"] not in gone and (owner := graph.nodes.get(o["uid"])) and owner.waits_for_dependents)
    solid = [o for o in node.owners if o["uid"] not in gone and o["uid"] not in waiting]
    if not node.owners or (solid and not gone and not waiting):
        return Verdict("keep")
    if solid:
        return Verdict("drop", drop=gone | waiting)
    dependents = graph.dependents(node.uid)
    if waiting and dependents:
        return Verdict("delete", "Foreground", unblock=any(d.waits_for_dependents for d in dependents))
    if ORPHAN in node.finalizers:
        return Verdict("delete", "Orphan")
    if FOREGROUND in node.finalizers:
        return Verdict("delete", "Foreground")
    return Verdict("delete", "Background")
