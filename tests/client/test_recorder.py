"""Events: created once, counted when repeated, combined when similar, limited when too many."""

from __future__ import annotations

import pytest

from kubelab.client.client import Client
from kubelab.client.recorder import BURST, COMBINED, EventRecorder
from kubelab.client.transport import InProcess, Unreachable
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.errors import forbidden
from kubelab.machinery.request import Obj, Request, Response, User

POD: Obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1"}}


class Server:
    """Takes events and patches, or refuses."""

    def __init__(self) -> None:
        self.created: list[Obj] = []
        self.patched: list[Obj] = []
        self.failures: list[Exception] = []

    async def handle(self, request: Request) -> Response:
        if self.failures:
            raise self.failures.pop(0)
        assert request.path.startswith("/api/v1/namespaces/shop/events")
        (self.created if request.method == "POST" else self.patched).append(request.body)
        return Response(201, request.body)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def recorder(server: Server, clock: SteppedClock) -> EventRecorder:
    return EventRecorder(Client(InProcess(server.handle, User("u"))), "kubelet", clock, host="node-1")


async def test_an_event_as_kubernetes_writes_it(server: Server, recorder: EventRecorder) -> None:
    """The event names its object, its source and its times."""
    recorder.event(POD, "Normal", "Pulled", "Image pulled", field_path="spec.containers{c}")
    await recorder.flush()
    event = server.created[0]
    assert event["metadata"]["name"].startswith("web-1.")
    assert event["involvedObject"] == {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1",
                                       "apiVersion": "v1", "fieldPath": "spec.containers{c}"}
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-02T03:04:05Z"
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Normal", "Pulled", "Image pulled", 1)


async def test_repeats_are_counted(server: Server, recorder: EventRecorder, clock: SteppedClock) -> None:
    """The same event again is one patch of count and lastTimestamp, no read and no second event."""
    for _ in range(3):
        recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
        await clock.step(10)
    await recorder.flush()
    assert len(server.created) == 1
    assert [patch["count"] for patch in server.patched] == [2, 3]
    assert server.patched[-1]["lastTimestamp"] == "2026-01-02T03:04:25Z"


async def test_similar_events_are_combined(server: Server, recorder: EventRecorder) -> None:
    """From the tenth different message on, events of one reason are told as one that is counted."""
    for i in range(13):
        recorder.event(POD, "Warning", "Failed", f"try {i}")
    await recorder.flush()
    assert [event["message"] for event in server.created] == [*(f"try {i}" for i in range(9)), f"{COMBINED}try 9"]
    assert [patch["count"] for patch in server.patched] == [2, 3, 4]
    assert server.patched[-1]["message"] == f"{COMBINED}try 12"


async def test_one_noisy_object_is_silenced(server: Server, recorder: EventRecorder, clock: SteppedClock) -> None:
    """An object has 25 events, then one every five minutes; other objects are not touched."""
    for i in range(60):
        recorder.event(POD, "Normal", f"Reason{i}", "m")
    other = {**POD, "metadata": {**POD["metadata"], "name": "web-2", "uid": "u2"}}
    recorder.event(other, "Normal", "Reason", "m")
    await recorder.flush()
    assert len(server.created) == BURST + 1
    await clock.step(301)
    for i in range(5):
        recorder.event(POD, "Normal", f"Later{i}", "m")
    await recorder.flush()
    assert len(server.created) == BURST + 2


async def test_series_for_the_scheduler(server: Server, clock: SteppedClock) -> None:
    """In the form of events.k8s.io a repeat becomes a series, whatever the message says now."""
    recorder = EventRecorder(Client(InProcess(server.handle, User("u"))), "default-scheduler", clock, series=True)
    for i in range(5):
        recorder.event(POD, "Warning", "FailedScheduling", f"0/{i} nodes are available", action="Scheduling")
    await recorder.flush()
    event = server.created[0]
    assert (event["reportingComponent"], event["action"], event["source"]) == ("default-scheduler", "Scheduling", {})
    assert "count" not in event and "firstTimestamp" not in event
    assert event["eventTime"] == "2026-01-02T03:04:05.000000Z"
    assert [patch["series"]["count"] for patch in server.patched] == [2]


async def test_refusals_are_dropped_and_outages_waited_for(server: Server, recorder: EventRecorder,
                                                           clock: SteppedClock) -> None:
    """An event the server refuses is dropped; while nobody answers, it is tried again on the clock."""
    server.failures = [forbidden("", "events", "", "the namespace is being terminated")]
    recorder.event(POD, "Normal", "A", "m")
    await recorder.flush()
    assert (server.created, recorder.dropped) == ([], 1)
    server.failures = [Unreachable("nobody there")]
    recorder.event(POD, "Normal", "B", "m")
    await clock.step(11)
    await recorder.flush()
    assert [event["reason"] for event in server.created] == ["B"]


async def test_stop_takes_no_more(server: Server, recorder: EventRecorder) -> None:
    """After stop events are ignored; what was recorded before has been written."""
    recorder.event(POD, "Normal", "A", "m")
    await recorder.stop()
    recorder.event(POD, "Normal", "B", "m")
    assert [event["reason"] for event in server.created] == ["A"]
