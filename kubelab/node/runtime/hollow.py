"""HollowRuntime: containers that run on the clock alone, so that a thousand nodes fit into one process.

    start_container ─► "running" ─► clock.call_later(run-for-s) ─► "exited" ─► events()

A pod steers its containers by annotations:

    hollow.kubelab.io/start-after-s: "3"   each container takes 3 s to start
    hollow.kubelab.io/ready-after-s: "5"   its readiness probe passes 5 s after the start
    hollow.kubelab.io/run-for-s:     "10"  it ends by itself after 10 s ...
    hollow.kubelab.io/exit-code:     "1"   ... with this code (alone: it ends at once)

Invariant: nothing here holds a process, a socket or a file; pod IPs are made up and answer nobody.
Models:    kubemark's hollow node (fake runtime)
"""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kubelab.machinery.clock import Clock, Handle, timestamp
from kubelab.node.runtime.protocol import (
    Connection,
    ContainerConfig,
    ContainerStatus,
    RuntimeEvent,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Streams,
    Usage,
)

PREFIX = "hollow.kubelab.io/"


def seconds(simulation: Mapping[str, str], key: str) -> float | None:
    """Read one steering annotation as a number; a word that is no number counts as absent."""
    try:
        return max(0.0, float(simulation[PREFIX + key]))
    except (KeyError, ValueError):
        return None


@dataclass(slots=True)
class _Container:
    status: ContainerStatus
    config: ContainerConfig
    timer: Handle | None = None
    lines: list[tuple[float, str]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)  # wakes those who follow the log

    def say(self, now: float, text: str) -> None:
        self.lines.append((now, text))
        self.more.set()
        self.more = asyncio.Event()


class HollowRuntime:
    """Simulate containers of one node. Implements `Runtime` without any operating system."""

    name = "hollow"
    version = "0.1.0"
    needs_files = False  # the kubelet prepares no volumes and fetches no tokens for us

    def __init__(self, node: str, clock: Clock, pod_cidr: str = "10.64.0.0/24", *, start_after_s: float = 0.0) -> None:
        self.node, self.clock, self.start_after_s = node, clock, start_after_s
        self._network = ipaddress.ip_network(pod_cidr)
        self._next_address = 2  # .1 is the bridge's, as everywhere
        self._free: list[int] = []
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._events: asyncio.Queue[RuntimeEvent] = asyncio.Queue()

    async def start(self) -> None:
        """Be ready at once."""

    async def stop(self) -> None:
        for container in self._containers.values():
            if container.timer is not None:
                container.timer.cancel()
        self._containers.clear()
        self._sandboxes.clear()

    # --- sandboxes ---------------------------------------------------------------------------------------------

    async def run_pod_sandbox(self, config: SandboxConfig) -> Sandbox:
        sandbox = Sandbox(uuid.uuid4().hex, config.pod, str(self._network[self._take_address()]))
        self._sandboxes[sandbox.id] = sandbox
        return sandbox

    def _take_address(self) -> int:
        if self._next_address < self._network.num_addresses - 1:
            self._next_address += 1
            return self._next_address - 1
        if not self._free:
            raise RuntimeFailure("FailedCreatePodSandBox", f"no IP addresses available in range set: {self._network}")
        return self._free.pop(0)

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is not None and sandbox.ready:
            self._sandboxes[sandbox_id] = replace(sandbox, ready=False)
            self._free.append(int(ipaddress.ip_address(sandbox.ip)) - int(self._network.network_address))

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        return list(self._sandboxes.values())

    # --- images ------------------------------------------------------------------------------------------------

    async def image_present(self, image: str) -> bool:
        return True

    async def pull_image(self, image: str) -> str:
        return _image_id(image)

    async def image_user(self, image: str) -> str:
        return "65532"  # a program that there is not is not root either

    # --- containers --------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None:
            raise RuntimeFailure("CreateContainerError", f"sandbox {sandbox_id} not found")
        container_id = uuid.uuid4().hex
        status = ContainerStatus(container_id, config.name, sandbox.pod, config.image, _image_id(config.image),
                                 "created", attempt=config.attempt, created_at=self.clock.now())
        self._containers[container_id] = _Container(status, config)
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._must(container_id)
        delay_s = seconds(container.config.simulation, "start-after-s")
        delay_s = self.start_after_s if delay_s is None else delay_s
        if delay_s:
            await self.clock.sleep(delay_s)
        if container.status.state != "created":
            return
        now = self.clock.now()
        container.status = replace(container.status, state="running", started_at=now)
        container.say(now, f"hollow container {container.config.name} ({container.config.image}) started on "
                           f"{self.node}; no process runs behind it")
        run_for_s = seconds(container.config.simulation, "run-for-s")
        code = seconds(container.config.simulation, "exit-code")
        if run_for_s is not None or code is not None:
            container.timer = self.clock.call_later(run_for_s or 0.0, lambda: self._end(container_id, int(code or 0)))

    def _end(self, container_id: str, exit_code: int, signal: int = 0) -> None:
        """The simulated process is over."""
        container = self._containers.get(container_id)
        if container is None or container.status.state == "exited":
            return
        if container.timer is not None:
            container.timer.cancel()
        now = self.clock.now()
        container.status = replace(container.status, state="exited", exit_code=exit_code, signal=signal,
                                   reason="Completed" if exit_code == 0 else "Error", finished_at=now)
        container.say(now, f"hollow container {container.config.name} ended with code {exit_code}")
        self._events.put_nowait(RuntimeEvent(container.status.pod, container_id, "exited"))

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        self._end(container_id, 0)

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.pop(container_id, None)
        if container is not None:
            container.more.set()
            if container.timer is not None:
                container.timer.cancel()

    async def list_containers(self) -> Sequence[ContainerStatus]:
        return [c.status for c in self._containers.values()]

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        container = self._containers.get(container_id)
        return container.status if container is not None else None

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while True:
            yield await self._events.get()

    def simulated_probe(self, container_id: str) -> tuple[bool, str]:
        """Answer any probe: it passes once `ready-after-s` is over, without a word about what it would have asked."""
        container = self._containers.get(container_id)
        if container is None or container.status.state != "running":
            return False, "hollow container is not running"
        wait_s = seconds(container.config.simulation, "ready-after-s") or 0.0
        if self.clock.now() - container.status.started_at < wait_s:
            return False, f"hollow container becomes ready {wait_s:g} s after its start"
        return True, ""

    # --- streams -----------------------------------------------------------------------------------------------

    async def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False,
                   stdin: bool = False) -> Streams:
        raise RuntimeFailure("InternalError", f"cannot run {command[0]!r}: the container is hollow, it runs on the "
                                              "clock and has no process; use runtime=\"process\" or \"docker\"")

    async def attach(self, container_id: str) -> Streams:
        raise RuntimeFailure("InternalError", "cannot attach: the container is hollow, it has no process")

    async def port_forward(self, sandbox_id: str, port: int) -> Connection:
        raise RuntimeFailure("InternalError", f"nothing listens on port {port}: the pod is hollow, it has no process")

    async def logs(self, container_id: str, *, follow: bool = False, tail_lines: int | None = None,
                   since_s: float | None = None, timestamps: bool = False,
                   limit_bytes: int | None = None) -> AsyncIterator[bytes]:
        container = self._must(container_id)
        first = 0 if tail_lines is None else max(0, len(container.lines) - tail_lines)
        left = limit_bytes
        seen = first
        while True:
            for at, text in container.lines[seen:]:
                seen += 1
                if since_s is not None and at < since_s:
                    continue
                line = (f"{timestamp(at)} {text}" if timestamps else text).encode() + b"\n"
                if left is not None:
                    line = line[:left]
                    left -= len(line)
                if line:
                    yield line
                if left == 0:
                    return
            if not follow or container.status.state == "exited" or container_id not in self._containers:
                return
            await container.more.wait()

    async def stats(self, container_id: str) -> Usage:
        container = self._must(container_id)
        ran_s = self.clock.now() - container.status.started_at if container.status.state == "running" else 0.0
        return Usage(cpu_seconds=ran_s * container.config.cpu_request_millicpu / 10_000, memory_bytes=2 << 20)

    def _must(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeFailure("NotFound", f"container {container_id} not found")
        return container


def _image_id(image: str) -> str:
    return f"hollow.kubelab.io/{image}"
