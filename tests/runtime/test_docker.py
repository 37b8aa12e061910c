"""The Docker runtime on a real engine: pods on one bridge, streams, events, and nothing left behind."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.node.runtime import docker_network
from kubelab.node.runtime.docker import DockerRuntime
from kubelab.node.runtime.docker_network import INFRA_IMAGE, LABEL, DockerNetwork, DockerUnavailable, connect
from kubelab.node.runtime.protocol import ContainerConfig, ImageError, PodRef, RuntimeFailure, SandboxConfig

pytestmark = pytest.mark.docker
POD = PodRef("default", "web-1", "uid-12345", "node-1")
BUSYBOX = ("/bin/busybox", "sh", "-c")


@pytest.fixture
async def runtime() -> AsyncIterator[DockerRuntime]:
    try:
        client = connect()
    except DockerUnavailable as error:
        pytest.skip(str(error))
    cluster_id = f"77-{secrets.token_hex(3)}"
    network = DockerNetwork(client, cluster_id, 77)
    await asyncio.to_thread(network.create)
    made = DockerRuntime("node-1", client, network, cluster_id=cluster_id, cluster_name="test")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
        await asyncio.to_thread(network.remove)
        client.close()


async def _container(runtime: DockerRuntime, script: str, **options: Any) -> str:
    sandbox = await runtime.run_pod_sandbox(SandboxConfig(POD, "web-1", "", ()))
    config = ContainerConfig("c", INFRA_IMAGE, 0, BUSYBOX, (script,), **options)
    return await runtime.create_container(sandbox.id, config)


async def test_a_pod_has_an_address_and_a_readable_name(runtime: DockerRuntime) -> None:
    """A pod gets an IP on the bridge; its containers are named after cluster, node, namespace, pod and container."""
    container = await _container(runtime, "exec busybox sleep 1000", cpu_limit_millicpu=500,
                                 memory_limit_bytes=32 << 20)
    await runtime.start_container(container)
    (sandbox,) = await runtime.list_sandboxes()
    assert sandbox.ip.startswith("10.")
    attributes = runtime._client.api.inspect_container(container)
    assert attributes["Name"] == "/test77.node-1.default.web-1.c.0.uid-1"
    assert attributes["HostConfig"]["NanoCpus"] == 500_000_000
    assert attributes["HostConfig"]["Memory"] == 32 << 20
    assert (await runtime.stats(container)).memory_bytes > 0


async def test_events_tell_a_start_and_an_exit(runtime: DockerRuntime) -> None:
    """The engine's events arrive without polling, and the status tells the exit code."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def listen() -> None:
        async for event in runtime.events():
            await seen.put(event.kind)

    listener = asyncio.create_task(listen())
    await asyncio.sleep(0)
    container = await _container(runtime, "exit 3")
    await runtime.start_container(container)
    async with asyncio.timeout(20):
        while await seen.get() != "exited":
            continue
    listener.cancel()
    status = await runtime.container_status(container)
    assert status is not None
    assert (status.state, status.exit_code, status.reason) == ("exited", 3, "Error")
    assert status.finished_at >= status.started_at > 0


async def test_exec_carries_three_streams_and_the_exit_code(runtime: DockerRuntime) -> None:
    """Standard input goes in, both outputs come out apart, the exit code is the command's."""
    container = await _container(runtime, "exec busybox sleep 1000")
    await runtime.start_container(container)
    streams = await runtime.exec(container, [*BUSYBOX, "busybox cat; echo oops >&2; exit 4"], stdin=True)
    await streams.write_stdin(b"hello\n")
    await streams.close_stdin()
    parts = {1: b"", 2: b""}
    async for stream, data in streams.output():
        parts[stream] += data
    assert parts == {1: b"hello\n", 2: b"oops\n"}
    assert await streams.wait() == 4
    await streams.close()


async def test_logs_are_kept_and_followed(runtime: DockerRuntime) -> None:
    """Logs come in order, limited as asked, and following ends when the container does."""
    container = await _container(runtime, "for i in 1 2 3; do echo $i; done")
    await runtime.start_container(container)
    assert b"".join([c async for c in runtime.logs(container, follow=True)]) == b"1\n2\n3\n"
    assert b"".join([c async for c in runtime.logs(container, tail_lines=1)]) == b"3\n"
    assert b"".join([c async for c in runtime.logs(container, limit_bytes=3)]) == b"1\n2"


async def test_what_cannot_be_is_said(runtime: DockerRuntime) -> None:
    """An image that no registry gives, and a program that the image has not, are told with their reasons."""
    with pytest.raises(ImageError) as missing:
        await runtime.pull_image("kubelab.invalid/nothing:1")
    assert missing.value.reason == "ErrImagePull"
    with pytest.raises(ImageError) as malformed:
        await runtime.pull_image("UPPER/Case:1:2")
    assert malformed.value.reason == "InvalidImageName"
    sandbox = await runtime.run_pod_sandbox(SandboxConfig(POD, "web-1", "", ()))
    container = await runtime.create_container(sandbox.id, ContainerConfig("c", INFRA_IMAGE, 0, ("/no/such/program",)))
    with pytest.raises(RuntimeFailure) as failure:
        await runtime.start_container(container)
    assert failure.value.reason == "RunContainerError"


async def test_sweep_frees_what_a_dead_cluster_left(runtime: DockerRuntime) -> None:
    """Containers, network and route of a cluster that was killed are gone after a sweep."""
    container = await _container(runtime, "exec busybox sleep 1000")
    await runtime.start_container(container)
    cluster_id = runtime._cluster_id
    await asyncio.to_thread(docker_network.sweep, cluster_id)
    client = runtime._client
    chosen = {"label": f"{LABEL}={cluster_id}"}
    assert client.containers.list(all=True, filters=chosen) == []
    assert client.networks.list(filters=chosen) == []
