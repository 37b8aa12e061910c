"""Marks on the time bar: what somebody did and what broke, told from objects as they change.

    (kind, old, new) ─► marks_of ─► [Mark("scale web 3→5", "did")]

Invariant: `marks_of` is a pure function of two versions of one object, so a remote cluster tells the same story.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from kubelab.machinery.request import Obj
from kubelab.views.items import condition, container_states

TOLD = ("Deployment", "Node", "Pod", "Service", "ReplicationController")
"""Kinds whose changes make marks."""
KEPT = 200


@dataclass(frozen=True, slots=True)
class Mark:
    text: str
    mood: str = "did"  # "did": somebody wanted it; "broke": nobody did


class Bar(Protocol):
    """Where marks are shown: the view model."""

    def put(self, key: str, item: Obj) -> None: ...
    def drop(self, key: str) -> None: ...


class Marks:
    """The marks of one time bar, the last `KEPT` of them; of many that broke alike within a second one is kept."""

    def __init__(self, bar: Bar) -> None:
        self._bar, self._made = bar, 0
        self._kept: deque[tuple[str, Mark, float]] = deque()  # key, mark, when

    def put(self, mark: Mark, at: float, revision: int, of: Obj | None = None) -> None:
        """Show a mark at a revision; `of` names the object that it is about."""
        verb = mark.text.split()[-1]
        if mark.mood == "broke" and any(m.mood == "broke" and m.text.split()[-1] == verb and abs(at - when) < 1
                                        for _, m, when in self._kept):
            return
        self._made += 1
        key = f"mark:{self._made}"
        self._bar.put(key, {"t": "mark", "order": self._made, "at": at, "text": mark.text, "mood": mark.mood,
                            "rev": revision, "of": of})
        self._kept.append((key, mark, at))
        if len(self._kept) > KEPT:
            self._bar.drop(self._kept.popleft()[0])


def marks_of(kind: str, old: Obj | None, new: Obj | None) -> list[Mark]:
    """Return what is worth a mark when `old` becomes `new`; None stands for "not there"."""
    if kind == "Node":
        return _node(old, new)
    if kind == "Pod":
        return _pod(old, new)
    if kind not in TOLD or (old or new) is None:
        return []
    name = (new or old or {})["metadata"]["name"]
    if old is None:
        return [Mark(f"apply {name}")] if kind != "Service" else [Mark(f"service {name}")]
    if new is None:
        return [Mark(f"delete {name}")]
    return _workload(name, old["spec"], new["spec"]) if kind != "Service" else _service(name, old["spec"], new["spec"])


def _workload(name: str, old: Obj, new: Obj) -> list[Mark]:
    out = []
    if old.get("template") != new.get("template"):
        out.append(Mark(f"rollout {name}"))
    if old.get("replicas") != new.get("replicas"):
        out.append(Mark(f"scale {name} {old.get('replicas', 1)}→{new.get('replicas', 1)}"))
    if bool(old.get("paused")) != bool(new.get("paused")):
        out.append(Mark(f"{'pause' if new.get('paused') else 'resume'} {name}"))
    return out


def _service(name: str, old: Obj, new: Obj) -> list[Mark]:
    changed = any(old.get(field) != new.get(field) for field in ("selector", "ports", "type"))
    return [Mark(f"change service {name}")] if changed else []


def _node(old: Obj | None, new: Obj | None) -> list[Mark]:
    name = (new or old or {})["metadata"]["name"]
    if new is None:
        return [Mark(f"{name} removed")]
    if old is None:
        return [Mark(f"{name} joins")]
    out = []
    was, now = condition(old, "Ready").get("status"), condition(new, "Ready").get("status")
    if was == "True" and now != "True":
        out.append(Mark(f"{name} lost", "broke"))
    elif was not in ("True", None) and now == "True":
        out.append(Mark(f"{name} is back"))
    cordoned = bool((new.get("spec") or {}).get("unschedulable"))
    if cordoned != bool((old.get("spec") or {}).get("unschedulable")):
        out.append(Mark(f"{'cordon' if cordoned else 'uncordon'} {name}"))
    return out


def _pod(old: Obj | None, new: Obj | None) -> list[Mark]:
    """A container that fails makes one mark, when it fails; a pod that comes or goes makes none."""
    if old is None or new is None or "deletionTimestamp" in new["metadata"]:
        return []
    if "failed" in container_states(new) and "failed" not in container_states(old):
        return [Mark(f"{new['metadata']['name']} fails", "broke")]
    if _restarts(new) > _restarts(old) and "failed" not in container_states(old):
        return [Mark(f"{new['metadata']['name']} restarts", "broke")]
    return []


def _restarts(pod: Obj) -> int:
    return sum(s.get("restartCount", 0) for s in (pod.get("status") or {}).get("containerStatuses") or ())
