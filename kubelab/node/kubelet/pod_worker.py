"""One pod's worker: observe the runtime, decide with plan_pod, act, report; again whenever something happened.

    API update ──┐                     ┌─ converge: plan ─► stop, sandbox, start ─► report
    event ───────┼─► poke ─► sync() ───┼─ terminate: preStop, SIGTERM, grace ─► report ─► final delete
    probe, timer ┘                     └─ ended (Succeeded, Failed): clean up, keep the status

Invariant: a pod that terminates never starts anything again; what a pull, a hook or a grace period holds up can be
           cut short by its end.
Models:    pkg/kubelet/pod_workers.go, Kubelet.SyncPod, SyncTerminatingPod, SyncTerminatedPod
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from kubelab.machinery.clock import timestamp
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.container_status import Scene
from kubelab.node.kubelet.containers import Containers
from kubelab.node.kubelet.context import Context, Waiting
from kubelab.node.kubelet.loop import Loop
from kubelab.node.kubelet.observed import Observed
from kubelab.node.kubelet.plan import Stop, plan_pod
from kubelab.node.kubelet.pod_end import end_pod
from kubelab.node.kubelet.pod_facts import container_named, deadline_left_s, differs, grace_s, with_gates
from kubelab.node.kubelet.pod_status import Verdict, pod_status
from kubelab.node.kubelet.prober import Prober
from kubelab.node.kubelet.sandboxes import new_sandbox
from kubelab.node.kubelet.status_writer import StatusWriter
from kubelab.node.kubelet.volumes import VolumeError
from kubelab.node.runtime.protocol import RuntimeFailure

log = logging.getLogger("kubelab.kubelet")
TERMINAL = ("Succeeded", "Failed")
EARLY_S = 0.01  # timers may fire a little before their time


class PodWorker(Loop):
    """Brings one pod of this node to what its spec says."""

    def __init__(self, context: Context, containers: Containers, prober: Prober, writer: StatusWriter, pod: Obj,
                 observed: Observed, admit: Callable[[Obj], Awaitable[Verdict | None]],
                 on_gone: Callable[[PodWorker], None]) -> None:
        super().__init__(context.clock, f"pod/{pod['metadata']['uid']}")
        self.context, self.containers, self.prober, self.writer = context, containers, prober, writer
        self.pod, self.observed, self.admit, self.on_gone = pod, observed, admit, on_gone
        self.waits: dict[str, tuple[str, str]] = {}
        self.verdict: Verdict | None = None
        self.status: Obj = pod.get("status", {})
        self.admitted = bool(observed.sandbox)  # what ran before a restart of the kubelet goes on running
        self.removed = False  # gone from the API: nobody waits for a status
        self.ended = False  # no container runs and none will
        self._not_before: dict[str, float] = {}  # container -> monotonic time of its next start
        self._stale: set[str] = set()
        self._setup_failures = 0

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def terminating(self) -> bool:
        return self.removed or self.verdict is not None or "deletionTimestamp" in self.pod["metadata"]

    def offer(self, pod: Obj, *, removed: bool = False) -> None:
        """Take a newer version of the pod from the API, or hear that it is gone from there."""
        before = (self.terminating, grace_s(self.pod))
        changed = removed or differs(self.pod, pod)
        self.pod, self.removed = pod, self.removed or removed
        if not removed:
            self.writer.observe(pod)
        if not changed:
            return  # most often the echo of our own status
        cut_short = self.terminating and (not before[0] or grace_s(pod) < before[1] or removed)
        if cut_short and self.containers.cuttable(self.uid):
            self.cut()  # a pull or a hook must not hold up the end; a shorter grace period counts at once
        self.wake()

    def wake(self) -> None:
        """Look again, and try at once what waits for its time."""
        self._not_before.clear()
        self.poke()

    def note(self, container_id: str) -> None:
        """Hear from the runtime that something happened to a container."""
        self._stale.add(container_id)
        self.poke()

    # ── one look ─────────────────────────────────────────────────────────────────────────────────────────────

    async def sync(self) -> None:
        await self._refresh()
        if not self.terminating and self.status.get("phase") not in TERMINAL:
            await self._converge()
        if self.terminating or self.status.get("phase") in TERMINAL:
            await self._end()

    def failed(self, error: Exception) -> None:
        log.warning("pod %s: %r", self.uid, error, exc_info=not isinstance(error, RuntimeFailure))
        self.context.record(self.pod, None, "Warning", "FailedSync", f"error syncing pod: {error}")

    async def _refresh(self) -> None:
        """Bring `observed` up to what the runtime says of the containers that had events."""
        while self._stale:
            container_id = self._stale.pop()
            known = next((s for s in self.observed.all() if s.id == container_id), None)
            container = self.container(known.name) if known is not None else None
            if known is not None:
                await self.containers.refresh(self.observed, container_id, container)
        for status in self.observed.all():
            if status.state == "exited":
                self.prober.forget(status.id)

    async def _converge(self) -> None:
        if not self.admitted:
            self.verdict = await self.admit(self.pod)
            self.admitted = True
        self._check_deadline()
        if self.verdict is not None:
            self.context.record(self.pod, None, "Warning", self.verdict.reason,
                                self.verdict.message.removeprefix("Pod was rejected: "))
            return
        await self._update_volumes()
        plan = plan_pod(self.pod["spec"], self.observed, self.prober.healths)
        for stop in plan.stop:
            await self._stop(stop)
        if plan.start or plan.new_sandbox:
            self.report()
        if plan.new_sandbox and not await new_sandbox(self.context, self.containers.volumes, self.pod, self.observed):
            self._setup_failures += 1
            self.retry_in(min(0.5 * 2.0 ** self._setup_failures, 120.0))
            return
        self._setup_failures = 0
        self.waits = {name: wait for name, wait in self.waits.items() if name in plan.start}
        started = False
        for name in plan.start:
            if self.terminating:
                return
            started = await self._start(name) or started
        self._probe()
        self.report()
        if started and self.pod["spec"].get("initContainers"):
            self.poke()  # a sidecar that has started lets the next one start

    async def _update_volumes(self) -> None:
        """Bring changed ConfigMaps, Secrets and labels into volumes that are mounted already."""
        volumes = self.containers.volumes
        if self.observed.sandbox is not None and self.observed.sandbox.ready and volumes.is_outdated(self.uid):
            try:
                await volumes.prepare(self.pod)
            except VolumeError as error:
                self.context.record(self.pod, None, "Warning", "FailedMount", str(error))

    def _check_deadline(self) -> None:
        left_s = deadline_left_s(self.pod, self.status, self.context.clock.now())
        if left_s is None:
            return
        if left_s > 0:
            self.retry_in(left_s)
        else:
            self.verdict = Verdict("Failed", "DeadlineExceeded",
                                   "Pod was active on the node longer than the specified deadline")

    async def _stop(self, stop: Stop) -> None:
        container, status = self.container(stop.name), self.observed.latest(stop.name)
        if container is None or status is None:
            return
        self.prober.forget(status.id)
        probe = container.get(f"{stop.probe}Probe") or {}
        limit_s = float(probe.get("terminationGracePeriodSeconds", grace_s(self.pod)))
        await self.containers.stop(self.pod, container, status, stop.message, limit_s, self.observed)

    async def _start(self, name: str) -> bool:
        """Start a container whose time has come; return whether it runs."""
        container, now = self.container(name), self.context.clock.monotonic()
        if container is None or now < self._not_before.get(name, now):
            return False
        try:
            await self.containers.start(self.pod, container, self.observed)
        except Waiting as waiting:
            self.waits[name] = (waiting.reason, waiting.message)
            self._not_before[name] = self.context.clock.monotonic() + waiting.retry_s - EARLY_S
            self.retry_in(waiting.retry_s)
            return False
        self.waits.pop(name, None)
        self._not_before.pop(name, None)
        return True

    def _probe(self) -> None:
        ip = self.observed.sandbox.ip if self.observed.sandbox is not None else ""
        for status in self.observed.running():
            container = self.container(status.name)
            if container is not None:
                self.prober.watch(self.pod, container, status, ip, self.poke)

    async def _end(self) -> None:
        """Stop what still runs; when the API wants the pod gone, clean up and take it away."""
        if not self.observed.attempts and self.verdict is None and self.status.get("phase") in TERMINAL:
            self.ended = True  # it ended before this kubelet started: its status stands
        if not self.ended:
            for status in self.observed.running():
                self.prober.terminating(status.id)
            if self.observed.running() or self.verdict is not None:
                self.report()
            with self.containers.may_be_cut(self.uid):
                await end_pod(self.context, self.containers, self.pod, self.observed)
            for status in self.observed.all():
                self.prober.forget(status.id)
            self.ended = True
            self.report()
        if self.removed or "deletionTimestamp" in self.pod["metadata"]:
            await self._clean_up()

    async def _clean_up(self) -> None:
        for status in list(self.observed.all()):
            await self.context.runtime.remove_container(status.id)
        if self.observed.sandbox is not None:
            await self.context.runtime.remove_pod_sandbox(self.observed.sandbox.id)
        if self.context.needs_files:
            await self.containers.volumes.remove(self.uid)
        if self.removed:
            self.writer.forget(self.uid)
        else:
            self.writer.finish(self.pod)
        self.on_gone(self)

    def report(self) -> None:
        """Hand the pod's status as it is now to the writer."""
        if self.removed:
            return
        pod = {**self.pod, "status": with_gates(self.pod, self.status)}
        scene = Scene(pod, self.observed, self.prober.healths, self.waits, self.context.runtime.name, self.ended)
        now = timestamp(self.context.clock.now())
        self.status = pod_status(scene, host_ip=self.context.node_ip, now=now, verdict=self.verdict)
        self.writer.set(self.pod, self.status)

    def container(self, name: str) -> Obj | None:
        """Return a container of the spec by name."""
        return container_named(self.pod, name)
