from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kubelab.machinery.clock import SteppedClock
from kubelab.node.kubelet.checks import CheckError, http_check, http_url, port_of, tcp_check
from kubelab.node.kubelet.observed import Health
from kubelab.node.kubelet.prober import Prober, Streak

from .scenes import container, pod, ran


def test_a_verdict_turns_after_equal_answers_in_a_row() -> None:
    """failureThreshold failures turn it down, successThreshold successes up, a change of mind starts the count anew."""
    streak = Streak(True, success=2, failure=3)
    assert [streak.turn(a) for a in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert [streak.turn(a) for a in (True, False, True, True)] == [False, False, False, True]


class Probed:
    """A prober over a runtime whose answers the test sets."""

    def __init__(self) -> None:
        self.clock, self.answer, self.events, self.changes = SteppedClock(1000.0), (True, ""), [], 0
        runtime = SimpleNamespace(simulated_probe=lambda container_id: self.answer)
        self.events: list[str] = []
        context: Any = SimpleNamespace(clock=self.clock, runtime=runtime, lowest_port=0,
                                       record=lambda *a: self.events.append(a[-1]))
        self.prober = Prober(context)

    def watch(self, **probes: Any) -> None:
        made = container("c", **probes)
        self.prober.watch(pod(made), made, ran(), "10.0.0.5", self._changed)

    def _changed(self) -> None:
        self.changes += 1

    @property
    def health(self) -> Health:
        return self.prober.healths["c-0"]


@pytest.fixture
async def probed() -> Any:
    made = Probed()
    yield made
    await made.prober.stop()


async def test_readiness_waits_for_its_delay_and_goes_both_ways(probed: Probed) -> None:
    """Not ready before initialDelaySeconds; down after failureThreshold failures; up again after one success."""
    probed.watch(readinessProbe={"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 2})
    await probed.clock.step(4)
    assert not probed.health.ready
    await probed.clock.step(2)
    assert probed.health.ready
    probed.answer = (False, "HTTP probe failed with statuscode: 500")
    await probed.clock.step(2)
    assert probed.health.ready
    await probed.clock.step(2)
    assert not probed.health.ready
    assert probed.events[-1] == "Readiness probe failed: HTTP probe failed with statuscode: 500"
    probed.answer = (True, "")
    await probed.clock.step(2)
    assert probed.health.ready
    assert probed.changes == 3


async def test_a_startup_probe_holds_the_others_back(probed: Probed) -> None:
    """Liveness cannot fail before the startup probe has passed."""
    probed.answer = (False, "not yet")
    probed.watch(startupProbe={"periodSeconds": 1, "failureThreshold": 30},
                 livenessProbe={"periodSeconds": 1, "failureThreshold": 1}, readinessProbe={"periodSeconds": 1})
    await probed.clock.step(10)
    assert probed.health == Health(ready=False, started=False)
    probed.answer = (True, "")
    await probed.clock.step(2)
    assert probed.health == Health(ready=True, started=True)
    probed.answer = (False, "dead")
    await probed.clock.step(1)
    assert probed.health.failed == "liveness"


async def test_a_startup_probe_that_never_passes_fails_the_container(probed: Probed) -> None:
    """After failureThreshold tries the container is to be restarted."""
    probed.answer = (False, "no")
    probed.watch(startupProbe={"periodSeconds": 1, "failureThreshold": 3})
    await probed.clock.step(5)
    assert probed.health.failed == "startup"
    assert probed.events.count("Startup probe failed: no") == 3


@pytest.fixture
async def web() -> Any:
    """A server that answers 200 under / and 500 elsewhere."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK" if head.startswith(b"GET / ") else b"500 Oops"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_http_checks_speak_as_go_does(web: int) -> None:
    """2xx and 3xx pass; other codes, refused connections and unknown ports are told in the kubelet's words."""
    made = container("c", ports=[{"name": "http", "containerPort": web}])
    assert await http_check({"port": "http", "path": "/"}, made, "127.0.0.1", 1, 0) == (True, "hi")
    assert await http_check({"port": web, "path": "/x"}, made, "127.0.0.1", 1, 0) == (
        False, "HTTP probe failed with statuscode: 500")
    assert await http_check({"port": 1, "path": "/"}, made, "127.0.0.1", 1, 0) == (
        False, 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused')
    with pytest.raises(CheckError, match="invalid syntax"):
        await http_check({"port": "nope"}, made, "127.0.0.1", 1, 0)


async def test_tcp_checks_connect(web: int) -> None:
    """An open port passes, a closed one is refused."""
    assert await tcp_check({"port": web}, container(), "127.0.0.1", 1, 0) == (True, "")
    assert await tcp_check({"port": 1}, container(), "127.0.0.1", 1, 0) == (
        False, "dial tcp 127.0.0.1:1: connect: connection refused")


def test_urls_and_ports() -> None:
    """A probe's URL is the pod's IP with the port by number or name."""
    made = container("c", ports=[{"name": "http", "containerPort": 8080}])
    assert http_url({"port": "http", "path": "x", "scheme": "HTTPS"}, made, "10.0.0.5") == "https://10.0.0.5:8080/x"
    assert port_of("81", made) == 81
