"""A process runtime on addresses of its own, once with private mounts and once with a folder in their place."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelab import host
from kubelab.node.runtime.process import ProcessRuntime, ShimHandle
from kubelab.node.runtime.protocol import ContainerConfig, PodRef, Sandbox, SandboxConfig


class FolderShim(ShimHandle):
    """The shim of a machine whose kernel allows no private mounts."""

    @property
    def private(self) -> bool:
        return False


class Pods:
    """Runs one-container pods in a few words."""

    def __init__(self, runtime: ProcessRuntime, plan: host.AddressPlan) -> None:
        self.runtime, self.plan = runtime, plan
        self.sandboxes: dict[str, Sandbox] = {}

    async def create(self, name: str, image: str, *command: str, dns: str = "", **config: Any) -> str:
        pod = PodRef("default", name, f"uid-{name}", "node-1")
        sandbox = await self.runtime.run_pod_sandbox(SandboxConfig(pod, name, dns, ("default.svc.cluster.local",)))
        container = ContainerConfig(**({"name": "main", "image": image, "attempt": 0, "command": command} | config))
        container_id = await self.runtime.create_container(sandbox.id, container)
        self.sandboxes[container_id] = sandbox
        return container_id

    async def run(self, name: str, image: str, *command: str, **config: Any) -> str:
        container_id = await self.create(name, image, *command, **config)
        await self.runtime.start_container(container_id)
        return container_id

    async def ended(self, container_id: str) -> Any:
        async with contextlib.aclosing(self.runtime.events()) as events:
            if (await self.status(container_id)).state != "exited":
                async for event in events:
                    if event.container_id == container_id and event.kind == "exited":
                        break
        return await self.status(container_id)

    async def status(self, container_id: str) -> Any:
        return await self.runtime.container_status(container_id)

    async def log(self, container_id: str, **options: Any) -> str:
        return b"".join([line async for line in self.runtime.logs(container_id, **options)]).decode()

    async def line(self, container_id: str, wanted: str) -> None:
        """Wait until the log has a line with this text."""
        async for line in self.runtime.logs(container_id, follow=True):
            if wanted in line.decode():
                return
        raise AssertionError(f"the container ended without a word of {wanted!r}")

    async def exec(self, container_id: str, *command: str, stdin: bytes = b"") -> tuple[int, str, str]:
        streams = await self.runtime.exec(container_id, command, stdin=bool(stdin))
        if stdin:
            await streams.write_stdin(stdin)
            await streams.close_stdin()
        out = {1: b"", 2: b""}
        async for stream, data in streams.output():
            out[stream] += data
        return await streams.wait(), out[1].decode(), out[2].decode()


@pytest.fixture
def plan() -> Iterator[host.AddressPlan]:
    claim = host.claim()
    yield claim.plan
    claim.release()


@pytest.fixture(params=["private", "folder"])
async def pods(request: pytest.FixtureRequest, tmp_path: Path, plan: host.AddressPlan) -> AsyncIterator[Pods]:
    shim = ShimHandle(tmp_path) if request.param == "private" else FolderShim(tmp_path)
    runtime = ProcessRuntime("node-1", root_dir=tmp_path / "node-1", pod_cidr=plan.pod_cidr(0),
                             lowest_port=host.lowest_port(), shim=shim)
    await runtime.start()
    await shim.ready()
    if request.param == "private" and shim.problem:
        pytest.skip(f"no private mounts here: {shim.problem}")
    yield Pods(runtime, plan)
    await runtime.stop()
