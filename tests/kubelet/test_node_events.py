"""Events of a node: its start, and whether it takes pods."""

from __future__ import annotations

from typing import Any

from kubelab.node.kubelet.node_events import NodeEvents


class Told(list[tuple[str, str]]):
    """Stands in for the recorder: keeps (reason, message)."""

    def event(self, obj: Any, type: str, reason: str, message: str) -> None:
        assert (obj["kind"], obj["metadata"], type) == ("Node", {"name": "n", "uid": "n"}, "Normal")
        self.append((reason, message))


def test_a_kubelet_tells_that_it_starts_and_that_all_is_well() -> None:
    """The first event is the start, the last that the node is ready."""
    told = Told()
    NodeEvents(told, "n").started()  # type: ignore[arg-type]
    assert told[0] == ("Starting", "Starting kubelet.")
    assert told[-1] == ("NodeReady", "Node n status is now: NodeReady") and len(told) == 6


def test_a_cordon_is_told_once() -> None:
    """What the node is at first is no news; each change is."""
    told = Told()
    events = NodeEvents(told, "n")  # type: ignore[arg-type]
    for cordoned in (False, True, True, False):
        events.seen({"spec": {"unschedulable": cordoned} if cordoned else {}})
    assert [reason for reason, _ in told] == ["NodeNotSchedulable", "NodeSchedulable"]
