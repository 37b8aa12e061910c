from __future__ import annotations

import asyncio

import pytest

from kubelab.machinery.clock import SteppedClock
from kubelab.node.runtime.hollow import HollowRuntime
from kubelab.node.runtime.protocol import ContainerConfig, PodRef, RuntimeFailure, SandboxConfig

POD = PodRef("default", "web", "uid-1", "node-1")


async def start(runtime: HollowRuntime, **simulation: str) -> str:
    sandbox = await runtime.run_pod_sandbox(SandboxConfig(POD, "web", "", ()))
    steering = {f"hollow.kubelab.io/{k.replace('_', '-')}": v for k, v in simulation.items()}
    made = await runtime.create_container(sandbox.id, ContainerConfig("c", "nginx", 0, simulation=steering))
    await runtime.start_container(made)
    return made


async def test_a_container_runs_until_it_is_stopped() -> None:
    """Without steering a hollow container runs for ever, and stops at once with code 0."""
    runtime = HollowRuntime("node-1", SteppedClock())
    made = await start(runtime)
    status = await runtime.container_status(made)
    assert status is not None and status.state == "running"
    await runtime.stop_container(made, 30)
    status = await runtime.container_status(made)
    assert status is not None and (status.state, status.exit_code, status.reason) == ("exited", 0, "Completed")
    event = await anext(aiter(runtime.events()))
    assert (event.container_id, event.kind) == (made, "exited")


async def test_a_container_ends_when_its_time_is_over() -> None:
    """run-for-s and exit-code let it end by itself, on the clock."""
    clock = SteppedClock()
    runtime = HollowRuntime("node-1", clock)
    made = await start(runtime, run_for_s="10", exit_code="3")
    await clock.step(9)
    status = await runtime.container_status(made)
    assert status is not None and status.state == "running"
    await clock.step(1.5)
    status = await runtime.container_status(made)
    assert status is not None and (status.state, status.exit_code, status.reason) == ("exited", 3, "Error")
    assert status.finished_at - status.started_at == pytest.approx(10)


async def test_starting_can_take_time() -> None:
    """start-after-s delays the start on the clock."""
    clock = SteppedClock()
    task = asyncio.ensure_future(start(HollowRuntime("node-1", clock), start_after_s="3"))
    await clock.step(2)
    assert not task.done()
    await clock.step(2)
    assert task.done()


async def test_probes_pass_when_the_annotation_says_so() -> None:
    """A hollow probe passes at once, or after ready-after-s."""
    clock = SteppedClock()
    runtime = HollowRuntime("node-1", clock)
    assert runtime.simulated_probe(await start(runtime))[0]
    slow = await start(runtime, ready_after_s="5")
    assert not runtime.simulated_probe(slow)[0]
    clock.jump(6)
    assert runtime.simulated_probe(slow)[0]


async def test_every_pod_has_its_own_address_and_gives_it_back() -> None:
    """Addresses come from the pod CIDR, are never given twice, and an exhausted range says so."""
    runtime = HollowRuntime("node-1", SteppedClock(), "10.64.0.0/29")
    boxes = [await runtime.run_pod_sandbox(SandboxConfig(POD, "web", "", ())) for _ in range(5)]
    assert [b.ip for b in boxes] == [f"10.64.0.{n}" for n in range(2, 7)]
    with pytest.raises(RuntimeFailure, match="no IP addresses available"):
        await runtime.run_pod_sandbox(SandboxConfig(POD, "web", "", ()))
    await runtime.remove_pod_sandbox(boxes[1].id)
    assert (await runtime.run_pod_sandbox(SandboxConfig(POD, "web", "", ()))).ip == "10.64.0.3"


async def test_logs_are_few_and_true_and_can_be_followed() -> None:
    """The log says that nothing runs; following it ends with the container."""
    runtime = HollowRuntime("node-1", SteppedClock())
    made = await start(runtime)

    async def follow() -> bytes:
        return b"".join([part async for part in runtime.logs(made, follow=True)])

    task = asyncio.ensure_future(follow())
    await asyncio.sleep(0.01)
    assert not task.done()
    await runtime.stop_container(made, 0)
    text = await asyncio.wait_for(task, 1)
    assert b"no process runs behind it" in text and text.endswith(b"ended with code 0\n")
    tail = b"".join([part async for part in runtime.logs(made, tail_lines=1, limit_bytes=10)])
    assert tail == b"hollow con"


async def test_exec_says_why_it_cannot() -> None:
    """There is no process to run a command beside."""
    runtime = HollowRuntime("node-1", SteppedClock())
    made = await start(runtime)
    with pytest.raises(RuntimeFailure, match="hollow"):
        await runtime.exec(made, ["sh"])


async def test_stop_leaves_nothing() -> None:
    """After stop there is neither container nor sandbox, nor a timer that fires."""
    clock = SteppedClock()
    runtime = HollowRuntime("node-1", clock)
    await start(runtime, run_for_s="1")
    await runtime.stop()
    clock.jump(5)
    assert not await runtime.list_containers()
    assert not await runtime.list_sandboxes()
