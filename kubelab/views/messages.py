"""Which spoke of the picture a message travels, and which way.

    journal entry  request by system:kube-scheduler ─► ("scheduler", "in")      (in: towards the API server)
                   watch delivery to system:node:node-1 ─► ("node-1", "out")
    watch event    of a remote cluster: who wrote last, by its managed fields ─► ("node-1", "in")

Invariant: a dot stands for a message that was; nothing is drawn that did not happen.
"""

from __future__ import annotations

from typing import Protocol

from kubelab.machinery.request import Obj

Spoke = tuple[str, str]  # (part name or node name, "in" | "out")

PARTS = {
    "controllers": ("controller", "replicaset", "deployment", "endpoint", "garbage", "namespace"),
    "scheduler": ("scheduler",),
    "proxy": ("kube-proxy", "proxy"),
    "dns": ("dns",),
    "etcd": ("etcd",),
}
"""Part of the picture -> what the name of an actor that belongs to it contains."""


class Entry(Protocol):
    """What is read of an entry of the trace journal."""

    @property
    def seam(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def subject(self) -> str: ...


def party(actor: str) -> str:
    """Return the part or node that `actor` (user name, user agent, or component name) belongs to."""
    name = actor.lower()
    if name.startswith("system:node:"):
        return name.removeprefix("system:node:")
    if name.startswith("kubelet/"):
        return name.removeprefix("kubelet/")
    if name.startswith(("system:apiserver", "kube-apiserver", "apiserver")):
        return "apiserver"
    for part, signs in PARTS.items():
        if any(sign in name for sign in signs):
            return part
    return "kubectl"


def spoke_of_entry(entry: Entry) -> Spoke | None:
    """Return the way of one journal entry, None for what does not cross a spoke."""
    if entry.seam in ("write", "etcd"):
        return "etcd", "out"
    who = party(entry.actor)
    if who == "apiserver" or entry.seam not in ("request", "watch"):
        return None
    return who, "in" if entry.seam == "request" else "out"


def spoke_of_event(obj: Obj) -> Spoke | None:
    """Return the way that the last write of `obj` came, judging by its managed fields."""
    fields = obj["metadata"].get("managedFields") or ()
    last = max(fields, key=lambda f: f.get("time") or "", default=None)
    if last is None:
        return None
    manager = last.get("manager", "")
    if "kubelet" in manager:
        node = (obj.get("spec") or {}).get("nodeName") or (obj["metadata"]["name"] if obj.get("kind") == "Node" else "")
        return (node, "in") if node else None
    who = party(manager)
    return None if who == "apiserver" else (who, "in")
