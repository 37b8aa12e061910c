"""Starts and stops the containers of a pod: image, configuration, hooks, events, back-off.

    start: back-off over? ─► image ─► env, mounts ─► create ─► start ─► postStart
    stop:  Killing ─► preStop (inside the grace period) ─► SIGTERM ─► grace ─► SIGKILL

Invariant: what cannot be started raises Waiting, with the words that the container's state then shows.
Models:    kuberuntime startContainer and killContainer
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from kubelab.machinery.request import Obj
from kubelab.node.kubelet import termination
from kubelab.node.kubelet.container_config import container_config, refused_user, security_context
from kubelab.node.kubelet.context import Context, Waiting, go_duration, pod_title
from kubelab.node.kubelet.environment import Environment
from kubelab.node.kubelet.hooks import HookFailed, run_hook
from kubelab.node.kubelet.images import Images
from kubelab.node.kubelet.observed import Observed
from kubelab.node.kubelet.volumes import VolumeError, Volumes
from kubelab.node.runtime.protocol import ContainerStatus, RuntimeFailure

MINIMUM_GRACE_S = 2.0


class Containers:
    """The container operations of one kubelet."""

    def __init__(self, context: Context, environment: Environment, volumes: Volumes) -> None:
        self.context, self.environment, self.volumes = context, environment, volumes
        self.images = Images(context)
        self._cuttable: set[str] = set()

    def cuttable(self, uid: str) -> bool:
        """Tell whether the pod's sync may be cancelled now: it waits for a pull, a hook or an end, not in mid-start."""
        return uid in self._cuttable

    @contextmanager
    def may_be_cut(self, uid: str) -> Iterator[None]:
        self._cuttable.add(uid)
        try:
            yield
        finally:
            self._cuttable.discard(uid)

    async def start(self, pod: Obj, container: Obj, observed: Observed) -> None:
        """Start the next attempt of `container` and record it in `observed`. Raises Waiting."""
        self._check_back_off(pod, container, observed)
        try:
            with self.may_be_cut(pod["metadata"]["uid"]):
                await self.images.ensure(pod, container)
        except Waiting as waiting:
            self.context.record(pod, container, "Warning", "Failed", f"Error: {waiting.reason}")
            raise
        status = await self._create(pod, container, observed)
        try:
            await self.context.runtime.start_container(status.id)
        except RuntimeFailure as failure:
            await self._update(observed, status.id, container)
            self.context.record(pod, container, "Warning", "Failed", f"Error: {failure.message}")
            raise Waiting("RunContainerError", failure.message) from failure
        started = await self._update(observed, status.id, container)
        self.context.trace("start", pod, container["name"], container["image"])
        self.context.record(pod, container, "Normal", "Started", "Container started")
        await self._forget_old(observed, container["name"])
        hook = (container.get("lifecycle") or {}).get("postStart")
        if hook and started is not None:
            await self._post_start(pod, container, started, hook, observed)

    def _check_back_off(self, pod: Obj, container: Obj, observed: Observed) -> None:
        latest = observed.latest(container["name"])
        if latest is None or latest.state == "running":
            return
        backoff, now = self.context.backoff, self.context.clock.now()
        key = f"{pod['metadata']['uid']}/{container['name']}"
        ended = latest.finished_at or latest.created_at
        wait_s = backoff.remaining_s(key, ended, now)
        if wait_s <= 0:
            backoff.next(key, now)
            return
        name = container["name"]
        self.context.record(pod, container, "Warning", "BackOff",
                            f"Back-off restarting failed container {name} in pod {pod_title(pod)}")
        raise Waiting("CrashLoopBackOff", f"back-off {go_duration(backoff.delay_s(key))} restarting failed "
                                          f"container={name} pod={pod_title(pod)}", wait_s)

    async def _create(self, pod: Obj, container: Obj, observed: Observed) -> ContainerStatus:
        latest = observed.latest(container["name"])
        attempt = latest.attempt + 1 if latest is not None else _restarts(pod, container["name"])
        try:
            ip = observed.sandbox.ip if observed.sandbox is not None else ""
            env = await self.environment.of(pod, container, ip)
            mounts = self.volumes.mounts(pod, container, env, attempt) if self.context.needs_files else ()
            await self._check_user(pod, container)
        except (Waiting, VolumeError) as error:
            waiting = error if isinstance(error, Waiting) else Waiting("CreateContainerConfigError", str(error))
            self.context.record(pod, container, "Warning", "Failed", f"Error: {waiting.message}")
            raise waiting from error
        config = container_config(pod, container, attempt, env, mounts)
        assert observed.sandbox is not None
        try:
            container_id = await self.context.runtime.create_container(observed.sandbox.id, config)
        except RuntimeFailure as failure:
            self.context.record(pod, container, "Warning", "Failed", f"Error: {failure.message}")
            raise Waiting(failure.reason or "CreateContainerError", failure.message) from failure
        observed.images[container_id] = container["image"]
        status = await self._update(observed, container_id)
        if status is None:
            raise Waiting("CreateContainerError", f"container {container_id} vanished")
        self.context.record(pod, container, "Normal", "Created", "Container created")
        return status

    async def _check_user(self, pod: Obj, container: Obj) -> None:
        """Refuse to run as root what says that it must not. Raises Waiting."""
        security = security_context(pod, container)
        if security.get("runAsNonRoot"):
            image_user = await self.context.runtime.image_user(container["image"])
            if refused := refused_user(pod, container, image_user):
                raise Waiting("CreateContainerConfigError", refused)

    async def _post_start(self, pod: Obj, container: Obj, status: ContainerStatus, hook: Obj,
                          observed: Observed) -> None:
        ip = observed.sandbox.ip if observed.sandbox is not None else ""
        try:
            with self.may_be_cut(pod["metadata"]["uid"]):
                await run_hook(self.context, container, status.id, hook, ip)
        except HookFailed as error:
            self.context.record(pod, container, "Warning", "FailedPostStartHook", "PostStartHook failed")
            await self.stop(pod, container, status, "FailedPostStartHook", 0.0, observed)
            raise Waiting("PostStartHookError", str(error)) from error

    async def stop(self, pod: Obj, container: Obj | None, status: ContainerStatus, message: str, grace_s: float,
                   observed: Observed) -> None:
        """End one running container within its grace period."""
        clock, began = self.context.clock, self.context.clock.monotonic()
        if container is not None:
            self.context.record(pod, container, "Normal", "Killing", message)
            hook = (container.get("lifecycle") or {}).get("preStop")
            if hook and grace_s > 0:
                ip = observed.sandbox.ip if observed.sandbox is not None else ""
                await self._pre_stop(pod, container, status, hook, ip, grace_s)
        left_s = max(grace_s - (clock.monotonic() - began), MINIMUM_GRACE_S)
        self.context.trace("stop", pod, status.name)
        await self.context.runtime.stop_container(status.id, left_s)
        await self._update(observed, status.id, container)

    async def _pre_stop(self, pod: Obj, container: Obj, status: ContainerStatus, hook: Obj, ip: str,
                        grace_s: float) -> None:
        """Run the hook, but no longer than the grace period."""
        task = asyncio.ensure_future(run_hook(self.context, container, status.id, hook, ip))
        timer = self.context.clock.call_later(grace_s, task.cancel)
        try:
            await asyncio.wait({task})
            if not task.cancelled() and isinstance(task.exception(), HookFailed):
                self.context.record(pod, container, "Warning", "FailedPreStopHook", "PreStopHook failed")
        finally:
            timer.cancel()
            task.cancel()

    async def refresh(self, observed: Observed, container_id: str, container: Obj | None) -> None:
        """Look at one container again."""
        await self._update(observed, container_id, container)

    async def _update(self, observed: Observed, container_id: str,
                      container: Obj | None = None) -> ContainerStatus | None:
        status = await self.context.runtime.container_status(container_id)
        if status is None:
            return None
        if status.state == "exited" and container is not None and self.context.needs_files and not status.message:
            path = self.volumes.termination_log(status.pod.uid, status.name, status.attempt)
            message = await termination.message(self.context.runtime, status, container, path)
            status = replace(status, message=message)
        observed.put(status)
        return status

    async def _forget_old(self, observed: Observed, name: str) -> None:
        """Keep one ended attempt beside the running one, for lastState and `kubectl logs --previous`."""
        for old in observed.attempts.get(name, [])[:-2]:
            await self.context.runtime.remove_container(old.id)
            observed.drop(old.id)


def _restarts(pod: Obj, name: str) -> int:
    """Go on counting where the API's status stands, when the runtime has lost the container."""
    status = pod.get("status", {})
    for known in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        if known["name"] == name and known.get("containerID"):
            return int(known["restartCount"]) + 1
    return 0
