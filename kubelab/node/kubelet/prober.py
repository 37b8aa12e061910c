"""Probes: one task per running container that has any; startup first, then readiness and liveness.

    started ─► startup probe ─► passed ─┬─► readiness every periodSeconds ─► Health.ready
                  └ failed: Health.failed └─► liveness ─► Health.failed ─► the pod worker restarts it

Invariant: a verdict changes only after failureThreshold or successThreshold equal answers in a row.
Models:    pkg/kubelet/prober (worker.go, prober.go)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kubelab.machinery.request import Obj
from kubelab.node.kubelet.checks import CheckError, exec_check, http_check, tcp_check
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.observed import Health
from kubelab.node.runtime.protocol import ContainerStatus

READY_AFTER = "hollow.kubelab.io/ready-after-s"
Changed = Callable[[], None]


@dataclass(slots=True)
class Streak:
    """Counts equal answers in a row and says when the verdict turns."""

    verdict: bool | None
    success: int = 1
    failure: int = 3
    last: bool | None = None
    run: int = 0

    def turn(self, passed: bool) -> bool:
        """Count one answer; return whether the verdict is now another one."""
        self.run = self.run + 1 if passed == self.last else 1
        self.last = passed
        if self.run < (self.success if passed else self.failure) or self.verdict == passed:
            return False
        self.verdict = passed
        return True


@dataclass(slots=True)
class _Probed:
    pod: Obj
    container: Obj
    status: ContainerStatus
    pod_ip: str
    changed: Changed
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


def probes_of(pod: Obj, container: Obj) -> dict[str, Obj]:
    """Return the container's probes by kind; a hollow pod with ready-after-s has a readiness probe in any case."""
    found = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")
             if f"{kind}Probe" in container}
    if "readiness" not in found and READY_AFTER in (pod["metadata"].get("annotations") or {}):
        found["readiness"] = {"periodSeconds": 1}
    return found


class Prober:
    """All probes of one kubelet."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.healths: dict[str, Health] = {}
        self._probed: dict[str, _Probed] = {}

    def watch(self, pod: Obj, container: Obj, status: ContainerStatus, pod_ip: str, changed: Changed) -> None:
        """Begin to probe a running container; called again for the same one, it does nothing."""
        if status.id in self._probed:
            return
        probes = probes_of(pod, container)
        if not probes:
            return
        probed = self._probed[status.id] = _Probed(pod, container, status, pod_ip, changed)
        started = "startup" not in probes
        self.healths[status.id] = Health(ready=started and "readiness" not in probes, started=started)
        if started:
            self._go_on(probed, probes)
        else:
            self._begin(probed, "startup", probes["startup"])

    def _go_on(self, probed: _Probed, probes: dict[str, Obj]) -> None:
        for kind in ("readiness", "liveness"):
            if kind in probes:
                self._begin(probed, kind, probes[kind])

    def _begin(self, probed: _Probed, kind: str, probe: Obj) -> None:
        probed.tasks[kind] = asyncio.get_running_loop().create_task(self._run(probed, kind, probe),
                                                                    name=f"probe/{kind}/{probed.container['name']}")

    def forget(self, container_id: str) -> None:
        """The container has ended: its probes end with it."""
        probed = self._probed.pop(container_id, None)
        self.healths.pop(container_id, None)
        if probed is not None:
            for task in probed.tasks.values():
                task.cancel()

    def terminating(self, container_id: str) -> None:
        """The pod ends: nothing is restarted any more, but readiness goes on until the container is gone."""
        probed = self._probed.get(container_id)
        if probed is not None:
            for kind in ("startup", "liveness"):
                if kind in probed.tasks:
                    probed.tasks.pop(kind).cancel()

    async def stop(self) -> None:
        tasks = [t for p in self._probed.values() for t in p.tasks.values()]
        for container_id in list(self._probed):
            self.forget(container_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, probed: _Probed, kind: str, probe: Obj) -> None:
        clock = self.context.clock
        wait_s = probed.status.started_at + probe.get("initialDelaySeconds", 0) - clock.now()
        if wait_s > 0:
            await clock.sleep(wait_s)
        streak = Streak({"readiness": False, "liveness": True}.get(kind), probe.get("successThreshold", 1),
                        probe.get("failureThreshold", 3))
        while True:
            passed = await self._ask(probed, kind, probe)
            if passed is not None and streak.turn(passed) and self._conclude(probed, kind, passed):
                return
            await clock.sleep(probe.get("periodSeconds", 10))

    def _conclude(self, probed: _Probed, kind: str, passed: bool) -> bool:
        """Turn the verdict into Health and wake the pod's worker; return whether this probe has said its last word."""
        container_id = probed.status.id
        health = self.healths.get(container_id)
        if health is None:
            return True
        if kind == "readiness":
            self.healths[container_id] = replace(health, ready=passed)
        elif not passed:
            self.healths[container_id] = replace(health, failed=kind)
        elif kind == "startup":
            probes = probes_of(probed.pod, probed.container)
            self.healths[container_id] = replace(health, started=True, ready="readiness" not in probes)
            self._go_on(probed, probes)
        probed.changed()
        return kind == "startup" or (kind == "liveness" and not passed)

    async def _ask(self, probed: _Probed, kind: str, probe: Obj) -> bool | None:
        """Make one check and record an Event unless it passes; None: it could not be made and counts for nothing."""
        title = kind.capitalize()
        passed: bool | None = None
        try:
            passed, words = await self._check(probed, probe)
            message = f"{title} probe failed: {words}"
        except CheckError as error:
            message = f"{title} probe errored and resulted in unknown state: {error}"
        if not passed:
            self.context.record(probed.pod, probed.container, "Warning", "Unhealthy", message)
        return passed

    async def _check(self, probed: _Probed, probe: Obj) -> tuple[bool, str]:
        simulated = getattr(self.context.runtime, "simulated_probe", None)
        if simulated is not None:
            answer: tuple[bool, str] = simulated(probed.status.id)
            return answer
        timeout_s = float(probe.get("timeoutSeconds", 1))
        if "exec" in probe:
            return await exec_check(self.context.runtime, probed.status.id, probe["exec"].get("command") or [],
                                    timeout_s)
        if "httpGet" in probe:
            return await http_check(probe["httpGet"], probed.container, probed.pod_ip, timeout_s,
                                    self.context.lowest_port)
        if "tcpSocket" in probe:
            return await tcp_check(probe["tcpSocket"], probed.container, probed.pod_ip, timeout_s,
                                   self.context.lowest_port)
        raise CheckError("missing probe handler")
