"""Jobs in a control plane: pods are made, counted and let go; what is over stays over or goes in time."""

from __future__ import annotations

from typing import Any

from kubelab import units

from .conftest import World


async def end_pods(world: World, phase: str) -> None:
    for pod in await world.items("pods"):
        if pod["status"].get("phase") == "Running":
            await world.client.patch("pods", pod["metadata"]["name"], {"status": {"phase": phase}}, "default",
                                     subresource="status")


def condition(job: Any, type_: str) -> bool:
    return any(c["type"] == type_ and c["status"] == "True" for c in job["status"].get("conditions") or ())


async def test_a_job_completes_and_goes(world: World) -> None:
    """Two of three pods at a time; when all have ended it is Complete, holds none of them back, and goes in time."""
    job = units.Job("sums", image="busybox", completions=3, parallelism=2, indexed=True)
    job["spec"]["ttlSecondsAfterFinished"] = 2
    await world.client.create("jobs", job)

    async def done() -> Any:
        await end_pods(world, "Succeeded")
        found = await world.client.get("jobs", "sums")
        return found if condition(found, "Complete") else None

    found = await world.until(done)
    assert (found["status"]["succeeded"], found["status"]["completedIndexes"]) == (3, "0-2")
    assert all(not p["metadata"].get("finalizers") for p in await world.items("pods"))
    assert ("Job/sums", "Normal", "Completed", "Job completed", "job-controller") in await world.events()

    async def gone() -> bool:
        return not await world.items("jobs") and not await world.items("pods")

    await world.until(gone)


async def test_a_job_that_fails_too_often_is_failed(world: World) -> None:
    """With backoffLimit 0 the first failure is the last."""
    job = units.Job("bad", image="busybox")
    job["spec"]["backoffLimit"] = 0
    await world.client.create("jobs", job)

    async def failed() -> Any:
        await end_pods(world, "Failed")
        found = await world.client.get("jobs", "bad")
        return found if condition(found, "Failed") else None

    found = await world.until(failed)
    assert condition(found, "FailureTarget") and found["status"]["failed"] == 1


async def test_a_suspended_job_gives_its_pods_up(world: World) -> None:
    """Its pods go and are not failures; resumed, it makes new ones."""
    await world.client.create("jobs", units.Job("later", image="busybox"))

    async def active() -> Any:
        return (await world.client.get("jobs", "later"))["status"].get("active") == 1

    await world.until(active)
    await world.client.patch("jobs", "later", {"spec": {"suspend": True}})

    async def asleep() -> Any:
        found = await world.client.get("jobs", "later")
        return condition(found, "Suspended") and not await world.items("pods") and found

    found = await world.until(asleep)
    assert "failed" not in found["status"] and "startTime" not in found["status"]
    await world.client.patch("jobs", "later", {"spec": {"suspend": False}})
    await world.until(active)


async def test_pods_of_a_deleted_job_can_go(world: World) -> None:
    """The finalizer does not hold them back."""
    await world.client.create("jobs", units.Job("short", image="busybox", parallelism=2, completions=2))

    async def two() -> bool:
        return len(await world.items("pods")) == 2

    await world.until(two)
    await world.client.delete("jobs", "short", propagation="Background")

    async def none() -> bool:
        return not await world.items("pods")

    await world.until(none)
