"""The contract of a scheduler plugin: what it is asked, in which order, and how it says no.

    queue ─► pre_filter ─► filter (each node) ─► pre_score ─► scores (all nodes) ─► bind
                 │             │
                 └─ Rejection ─┴─► FailedScheduling; `hint` says which events may change the answer

Invariant: plugins only read; the cache is changed by the cycle alone.
Models:    k8s.io/kube-scheduler/framework
Left out:  Permit and PreBind (no plugin of ours waits), profiles with several plugin sets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelab.control_plane.scheduler.nodeinfo import NodeInfo, PodInfo
from kubelab.machinery.request import Obj

if TYPE_CHECKING:
    from kubelab.control_plane.scheduler.cache import Cache

MAX_SCORE = 100


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node (or, from `pre_filter`, every node) cannot take the pod."""

    reasons: tuple[str, ...]
    helpless: bool = False  # no pod that goes away can change it: preemption is not helpful
    plugin: str = ""


class Skip:
    """Said by `pre_filter` or `pre_score`: this plugin has nothing to say about this pod."""


SKIP = Skip()


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """Something changed that may make a rejected pod fit. `action`: add | update | delete."""

    kind: str  # "Node" | "PersistentVolumeClaim" | "Pod" (an assigned one; with action "update" the waiting one too)
    action: str
    new: Obj | None = None
    old: Obj | None = None


class Plugin:
    """Base of all plugins: override what you have an opinion about."""

    name = ""
    weight = 0  # of the scores; 0: does not score
    filters = True

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        """Return a state for `filter`, SKIP, or a Rejection of the pod on every node."""
        return None

    def filter(self, state: Any, pod: PodInfo, node: NodeInfo) -> Rejection | None:
        return None

    def pre_score(self, pod: PodInfo, cache: Cache, nodes: Sequence[NodeInfo]) -> Any:
        """Return a state for `scores`, or SKIP."""
        return None

    def scores(self, state: Any, pod: PodInfo, nodes: Sequence[NodeInfo]) -> list[int]:
        """Return 0..100 for each node, best is highest."""
        return [0] * len(nodes)

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        """Tell whether `event` may turn this plugin's rejection of `pod` into a yes."""
        return event.kind == "Node" and event.action in ("add", "update")


def normalized(raw: Sequence[int], reverse: bool = False) -> list[int]:
    """Stretch raw scores to 0..100; `reverse` makes the lowest the best."""
    top = max(raw, default=0)
    if top == 0:
        return [MAX_SCORE if reverse else 0] * len(raw)
    scaled = [MAX_SCORE * score // top for score in raw]
    return [MAX_SCORE - score for score in scaled] if reverse else scaled
