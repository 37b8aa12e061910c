"""The process runtime: containers as plain processes of this machine, with no engine, image or root rights.

    kubelet ─► ProcessRuntime ─► spec, pipes ─► shim ─► fork ─► private root ─► program
                     ▲                                             │
                     └── log file ◄── pipes, events ◄── exited ────┘

Each pod has its own address in 127.0.0.0/8. It has no network namespace: that address is how pods tell their ports
apart, and why a program that binds 0.0.0.0 must be one of kubelab's own, or Python, which both bind the pod's address
in its place; any other program has to be told to (`$(POD_IP)` by the downward API).

Invariant: a container that is "running" has a live process group, and ends as "exited" whoever kills it.
Models:    containerd with runc
Left out:  pulling images; network and PID namespaces; capabilities and seccomp, which it takes no notice of
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from kubelab.machinery.clock import Clock, RealClock
from kubelab.machinery.ports import mapped
from kubelab.node.runtime import process_images, process_spec, process_stats
from kubelab.node.runtime.host_ports import HostPorts
from kubelab.node.runtime.process_container import Container
from kubelab.node.runtime.process_control import PYTHON, ShimHandle, sweep
from kubelab.node.runtime.process_network import Addresses, PodConnection
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


def capabilities() -> dict[str, bool]:
    """Try what this machine's kernel allows: containers with private mounts and a host name of their own."""
    script = Path(__file__).with_name("process_shim.py")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*PYTHON, str(script), "--probe", folder], capture_output=True, text=True, timeout=20)
    private = done.returncode == 0 and not done.stdout.strip()
    return {"private mounts": private, "own host name": private}


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
        self._host_ports = HostPorts(node_ip, lowest_port, self.clock)
        self._sandboxes: dict[str, tuple[Sandbox, SandboxConfig]] = {}
        self._containers: dict[str, Container] = {}
        self._inside: dict[str, list[str]] = {}  # sandbox id to the ids of its containers
        self._pulled: set[str] = set()
        self._listeners: set[asyncio.Queue[RuntimeEvent]] = set()

    async def start(self) -> None:
        self.root_dir.mkdir(parents=True, exist_ok=True)
        if not self._place.tools.exists():
            process_spec.write_tools(self._place.tools)
        await self.shim.start()

    async def stop(self) -> None:
        tasks = [task for container in self._containers.values() for task in container.tasks]
        await asyncio.gather(*(self.remove_container(id) for id in list(self._containers)))
        for sandbox_id in list(self._sandboxes):
            await self.remove_pod_sandbox(sandbox_id)
        await self.shim.stop()
        if tasks:
            await asyncio.wait(tasks)

    # ── sandboxes ───────────────────────────────────────────────────────────────────────────────────────

    async def run_pod_sandbox(self, config: SandboxConfig) -> Sandbox:
        ip = self.node_ip if config.host_network else self._addresses.take()
        sandbox = Sandbox(secrets.token_hex(32), config.pod, ip)
        try:
            await self._host_ports.open(sandbox, () if config.host_network else config.ports)
        except RuntimeFailure:
            self._addresses.give_back(ip)
            raise
        self._sandboxes[sandbox.id] = (sandbox, config)
        return sandbox

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        found = self._sandboxes.get(sandbox_id)
        if found is None or not found[0].ready:
            return
        sandbox, config = found
        await asyncio.gather(*(self.stop_container(id, 0) for id in self._inside.get(sandbox_id, ())))
        self._sandboxes[sandbox_id] = (replace(sandbox, ready=False), config)
        self._host_ports.close(sandbox_id)
        if not config.host_network:
            self._addresses.give_back(sandbox.ip)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.stop_pod_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)
        self._inside.pop(sandbox_id, None)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        return [sandbox for sandbox, _ in self._sandboxes.values()]

    # ── images ──────────────────────────────────────────────────────────────────────────────────────────

    async def image_present(self, image: str) -> bool:
        return process_images.parse(image).full in self._pulled

    async def pull_image(self, image: str) -> str:
        process_images.find(image)
        self._pulled.add(process_images.parse(image).full)
        return process_images.image_id(image)

    async def image_user(self, image: str) -> str:
        return ""

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
        if not self.shim.private:
            spec = process_spec.in_folder(spec, folder / "rootfs", self._place)
        self._containers[container_id] = Container(sandbox.pod, config, spec, folder, self.clock, self.shim, self._tell)
        self._inside.setdefault(sandbox_id, []).append(container_id)
        return container_id

    async def start_container(self, container_id: str) -> None:
        await self._must(container_id).start()

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        container = self._containers.get(container_id)
        if container is not None:
            await container.stop(grace_s)

    async def remove_container(self, container_id: str) -> None:
        container = self._containers.get(container_id)
        if container is not None:
            await container.remove()
            self._containers.pop(container_id, None)
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

    def _tell(self, container: Container, kind: str) -> None:
        for queue in self._listeners:
            queue.put_nowait(RuntimeEvent(container.status.pod, container.status.id, kind))

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────

    async def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False,
                   stdin: bool = False) -> Streams:
        return await self._must(container_id).exec(command, tty=tty, stdin=stdin)

    async def attach(self, container_id: str) -> Streams:
        return self._must(container_id).attach()

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

    def _must(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise RuntimeFailure("ContainerNotFound", f'container "{container_id}" not found')
        return container
