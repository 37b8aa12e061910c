"""What a kubelet tells of its node: that it starts, that all is well with it, that it was cordoned.

    start ─► Starting, NodeAllocatableEnforced, NodeHas…, NodeReady        beat ─► NodeNotSchedulable | NodeSchedulable

Models:    the node status setters of the kubelet (pkg/kubelet/nodestatus), recordNodeSchedulableEvent
Left out:  what is wrong with a node: ours are always well
"""

from __future__ import annotations

from kubelab.client.recorder import EventRecorder
from kubelab.machinery.request import Obj

WELL = ("NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady")


class NodeEvents:
    """Writes the events of one node; they name it by its name alone, as a kubelet does."""

    def __init__(self, recorder: EventRecorder, name: str) -> None:
        self._recorder = recorder
        self._about: Obj = {"kind": "Node", "metadata": {"name": name, "uid": name}}
        self._cordoned: bool | None = None  # not known yet

    def started(self) -> None:
        """Tell that the kubelet is up."""
        self._say("Starting", "Starting kubelet.")
        self._say("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
        for reason in WELL:
            self._status(reason)

    def seen(self, node: Obj) -> None:
        """Look at the node, and tell when it takes pods no more, or again."""
        cordoned = bool((node.get("spec") or {}).get("unschedulable"))
        if self._cordoned is not None and cordoned != self._cordoned:
            self._status("NodeNotSchedulable" if cordoned else "NodeSchedulable")
        self._cordoned = cordoned

    def _status(self, reason: str) -> None:
        self._say(reason, f"Node {self._about['metadata']['name']} status is now: {reason}")

    def _say(self, reason: str, message: str) -> None:
        self._recorder.event(self._about, "Normal", reason, message)
