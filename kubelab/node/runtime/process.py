"""The process runtime: containers as plain processes of this machine, with no engine, image or root rights.

    kubelet ─► ProcessRuntime ─► spec, pipes ─► shim ─► fork ─► private root ─► program
                     ▲                                             │
                     └── log file ◄── pipes, events ◄── exited ────┘

Each pod has its own address in 127.0.0.0/8. It has no network namespace: that address is how pods tell their ports
apart, and why a program that binds 0.0.0.0 must be one of kubelab's own, or Python, which both bind the pod's address
in its place; any other program has to be told to (`$(POD_IP)` by the downward API).

Invariant: a container that is "running" has a live process group, and ends as "exited" whoever kills it.
Models:    containerd with runc
Left out:  pulling images; network and PID namespaces
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubelab.machinery.clock import Clock, RealClock
from kubelab.machinery.ports import mapped
from kubelab.node.runtime import process_images, process_spec, process_stats
from kubelab.node.runtime.process_control import PYTHON, Exit, ShimError, ShimHandle, sweep
from kubelab.node.runtime.process_log import LogFile
from kubelab.node.runtime.process_network import Addresses, PodConnection
from kubelab.node.runtime.process_streams import BEHIND_BYTES, Client, Copier, Writer, exec_client, finish, open_ends
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

__all__ = ["ProcessRuntime", "ShimHandle", "capabilities", "sweep"]

log = logging.getLogger("kubelab")
NOT_STARTED = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create " \
              "failed: unable to start container process: "
EXEC_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


def capabilities() -> dict[str, bool]:
    """Try what this machine's kernel allows: containers with private mounts and a host name of their own."""
    script = Path(__file__).with_name("process_shim.py")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*PYTHON, str(script), "--probe", folder], capture_output=True, text=True, timeout=20)
    private = done.returncode == 0 and not done.stdout.strip()
    return {"private mounts": private, "own host name": private}


@dataclass(slots=True)
class _Container:
    config: ContainerConfig
    status: ContainerStatus
    spec: dict[str, Any]
    log: LogFile
    copier: Copier
    sandbox: str
    writer: Writer | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    execs: int = 0


class ProcessRuntime:
    """The containers of one node as processes. All nodes of a cluster may share one `shim`.

    `root_dir` holds logs and, where there are no private mounts, root folders. `node_ip` is the address of pods in
    the host network. Implements `Runtime`.
    """

    name = "process"
    version = "0.1.0"

    def __init__(self, node: str, *, root_dir: Path, pod_cidr: str, lowest_port: int = 1024, node_ip: str = "127.0.0.1",
                 clock: Clock | None = None, shim: ShimHandle | None = None) -> None:
        self.node, self.root_dir, self.node_ip = node, root_dir, node_ip
        self.clock: Clock = clock or RealClock()
        self.shim = shim or ShimHandle(root_dir)
        self._place = process_spec.Place(self.shim.state_dir, self.shim.state_dir / "tools", lowest_port)
        self._addresses = Addresses(pod_cidr)
        self._sandboxes: dict[str, tuple[Sandbox, SandboxConfig]] = {}
        self._containers: dict[str, _Container] = {}
        self._pulled: set[str] = set()
        self._listeners: set[asyncio.Queue[RuntimeEvent]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self.root_dir.mkdir(parents=True, exist_ok=True)
        if not self._place.tools.exists():
            process_spec.write_tools(self._place.tools)
        await self.shim.start()

    async def stop(self) -> None:
        await asyncio.gather(*(self.remove_container(id) for id in list(self._containers)))
        for sandbox_id in list(self._sandboxes):
            await self.remove_pod_sandbox(sandbox_id)
        await self.shim.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # ── sandboxes ───────────────────────────────────────────────────────────────────────────────────────

    async def run_pod_sandbox(self, config: SandboxConfig) -> Sandbox:
        ip = self.node_ip if config.host_network else self._addresses.take()
        sandbox = Sandbox(secrets.token_hex(32), config.pod, ip)
        self._sandboxes[sandbox.id] = (sandbox, config)
        return sandbox

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        found = self._sandboxes.get(sandbox_id)
        if found is None or not found[0].ready:
            return
        sandbox, config = found
        inside = [c.status.id for c in self._containers.values() if c.sandbox == sandbox_id]
        await asyncio.gather(*(self.stop_container(id, 0) for id in inside))
        self._sandboxes[sandbox_id] = (replace(sandbox, ready=False), config)
        if not config.host_network:
            self._addresses.give_back(sandbox.ip)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        return [sandbox for sandbox, _ in self._sandboxes.values()]

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────

    async def image_present(self, image: str) -> bool:
        return process_images.parse(image).full in self._pulled

    async def pull_image(self, image: str) -> str:
        process_images.find(image)
        self._pulled.add(process_images.parse(image).full)
        return process_images.image_id(image)

    # ── containers ──────────────────────────────────────────────────────────────────────────────────────

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        found = self._sandboxes.get(sandbox_id)
        if found is None:
            raise RuntimeFailure("CreateContainerError", f'failed to find sandbox id "{sandbox_id}": not found')
        await self.shim.ready()
        sandbox, pod = found
        container_id = secrets.token_hex(32)
        spec = process_spec.container_spec(container_id, pod, sandbox.ip, config, process_images.find(config.image),
                                           self._place)
        folder = self.root_dir / "containers" / container_id
        file = LogFile(folder / "log")
        if not self.shim.private:
            spec = process_spec.in_folder(spec, folder / "rootfs", self._place)
        status = ContainerStatus(container_id, config.name, sandbox.pod, config.image,
                                 process_images.image_id(config.image), "created", config.attempt,
                                 created_at=self.clock.now())
        copier = Copier(lambda stream, data: file.write(stream, data, self.clock.now()))
        self._containers[container_id] = _Container(config, status, spec, file, copier, sandbox_id)
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._must(container_id)
        if container.status.state != "created":
            return
        ends = open_ends(tty=container.config.tty, stdin=container.config.stdin)
        try:
            pid, exited = await self.shim.run(container.spec, ends.far)
        except ShimError as error:
            ends.close()
            message = NOT_STARTED + str(error)
            self._end(container, Exit(128), "StartError", message)
            raise RuntimeFailure("RunContainerError", message) from None
        ends.give_away()
        container.copier.start(ends)
        if ends.input >= 0:
            container.writer = Writer(ends.input, tty=container.config.tty)
        container.status = replace(container.status, state="running", pid=pid, started_at=self.clock.now())
        self._tell(container, "started")
        task = asyncio.get_running_loop().create_task(self._watch(container, exited))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, container: _Container, exited: asyncio.Future[Exit]) -> None:
        ended = await exited
        await container.copier.drained()
        reason = "OOMKilled" if ended.oom else "Completed" if ended.code == 0 else "Error"
        self._end(container, ended, reason)

    def _end(self, container: _Container, ended: Exit, reason: str, message: str = "") -> None:
        if container.writer is not None:
            container.writer.close()
        now = self.clock.now()
        container.log.close(now)
        container.status = replace(container.status, state="exited", exit_code=ended.code, signal=ended.signal, pid=0,
                                   reason=reason, message=message, finished_at=now,
                                   started_at=container.status.started_at or now)
        container.ended.set()
        self._tell(container, "exited")

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        container = self._containers.get(container_id)
        if container is None or container.status.state != "running":
            return
        if grace_s > 0:
            await self.shim.kill(container_id, process_images.find(container.config.image).stop_signal)
            if await self._ends_within(container, grace_s):
                return
        await self.shim.kill(container_id, signal.SIGKILL)
        await container.ended.wait()

    async def _ends_within(self, container: _Container, grace_s: float) -> bool:
        over = asyncio.Event()
        timer = self.clock.call_later(grace_s, over.set)
        waits = [asyncio.ensure_future(event.wait()) for event in (container.ended, over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for wait in waits:
                wait.cancel()
        return container.ended.is_set()

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        container = self._containers.pop(container_id, None)
        if container is not None:
            container.log.close(self.clock.now())
            shutil.rmtree(container.log.path.parent, ignore_errors=True)
            self._tell(container, "removed")

    async def list_containers(self) -> Sequence[ContainerStatus]:
        return [container.status for container in self._containers.values()]

    async def container_status(self, container_id: str) -> ContainerStatus | None:
        container = self._containers.get(container_id)
        return container.status if container is not None else None

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def _tell(self, container: _Container, kind: str) -> None:
        for queue in self._listeners:
            queue.put_nowait(RuntimeEvent(container.status.pod, container.status.id, kind))

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────

    async def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False,
                   stdin: bool = False) -> Streams:
        container = self._running(container_id)
        container.execs += 1
        exec_id = f"{container_id}/{container.execs}"
        ends = open_ends(tty=tty, stdin=stdin)
        spec = process_spec.exec_spec(container.spec, exec_id, list(command), tty=tty)
        try:
            _, exited = await self.shim.run(spec, ends.far)
        except ShimError as error:
            ends.close()
            raise RuntimeFailure("ExecError", EXEC_FAILED + str(error)) from None
        ends.give_away()
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        exited.add_done_callback(lambda done: code.set_result(done.result().code))
        client = exec_client(ends, code, tty=tty)
        client.on_close.append(lambda: self.shim.kill(exec_id, signal.SIGKILL))
        task = asyncio.get_running_loop().create_task(finish(client, code))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return client

    async def attach(self, container_id: str) -> Streams:
        container = self._running(container_id)

        async def exit_code() -> int:
            await container.ended.wait()
            return container.status.exit_code

        client = Client(exit_code(), container.writer, limit=BEHIND_BYTES, keep_stdin=not container.config.stdin_once)
        container.copier.clients.add(client)
        client.on_close.append(lambda: container.copier.clients.discard(client))
        return client

    async def logs(self, container_id: str, *, follow: bool = False, tail_lines: int | None = None,
                   since_s: float | None = None, timestamps: bool = False,
                   limit_bytes: int | None = None) -> AsyncIterator[bytes]:
        lines = self._must(container_id).log.read(follow=follow, tail_lines=tail_lines, since=since_s,
                                                  timestamps=timestamps, limit_bytes=limit_bytes)
        async for line in lines:
            yield line

    async def port_forward(self, sandbox_id: str, port: int) -> Connection:
        sandbox, _ = self._sandboxes[sandbox_id]
        try:
            reader, writer = await asyncio.open_connection(sandbox.ip, mapped(port, self._place.lowest_port))
        except OSError as error:
            raise RuntimeFailure("PortForwardError", f"failed to connect to localhost:{port} inside namespace "
                                                     f'"{sandbox.pod.namespace}": {error.strerror}') from None
        return PodConnection(reader, writer)

    async def stats(self, container_id: str) -> Usage:
        return process_stats.usage(self._must(container_id).status.pid)

    def _must(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeFailure("ContainerNotFound", f'container "{container_id}" not found')
        return container

    def _running(self, container_id: str) -> _Container:
        container = self._must(container_id)
        if container.status.state != "running":
            raise RuntimeFailure("ContainerNotRunning", f"container not found (\"{container.config.name}\" is "
                                                        f"{container.status.state})")
        return container
