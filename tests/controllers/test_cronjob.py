"""Cron jobs: when they are due, what they make, what they keep."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.control_plane.controllers.cronjob import due, job_for, to_forget
from kubelab.machinery.clock import parse_timestamp, timestamp
from kubelab.machinery.meta import owner_reference
from kubelab.units import schedule

from .conftest import World

NOW = parse_timestamp("2026-01-02T03:04:05Z")


def cron(text: str = "*/5 * * * *", *, last_s: float | None = None, age_s: float = 60, **spec: Any) -> dict[str, Any]:
    out = units.CronJob("tick", schedule=text, image="busybox", namespace="default")
    out["metadata"] |= {"uid": "u", "creationTimestamp": timestamp(NOW - age_s)}
    out["spec"] |= {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0, **spec}
    out["status"] = {} if last_s is None else {"lastScheduleTime": timestamp(NOW - last_s)}
    return out


@pytest.mark.parametrize(("it", "at", "missed", "coming"), [
    (cron(), None, 0, "03:05:00"),
    (cron(age_s=600), "03:00:00", 2, "03:05:00"),
    (cron(last_s=245), None, 0, "03:05:00"),
    (cron("* * * * *", age_s=86_400), "03:04:00", 1440, "03:05:00"),
    (cron("* * * * *", age_s=86_400, startingDeadlineSeconds=3), None, 0, "03:05:00"),
    (cron("@hourly", age_s=300), "03:00:00", 1, "04:00:00"),
    (cron("0 4 * * *", age_s=60, timeZone="Europe/Berlin"), None, 0, "03:00:00"),
])
def test_of_several_missed_times_the_last_one_counts(it: Any, at: str | None, missed: int, coming: str) -> None:
    """Since the last run, or since the cron job is there; not longer ago than the deadline."""
    found = due(it, schedule.parse(it["spec"]["schedule"]), NOW)
    assert (found.at and timestamp(found.at)[11:19], found.missed) == (at, missed)
    assert found.next is not None and timestamp(found.next)[11:19] == coming


def test_a_job_is_named_after_its_minute() -> None:
    """So the same minute cannot have two."""
    made = job_for(cron(), NOW)
    assert made["metadata"]["name"] == f"tick-{int(NOW) // 60}"
    assert made["metadata"]["annotations"] == {"batch.kubernetes.io/cronjob-scheduled-timestamp": timestamp(NOW)}


def test_only_the_last_jobs_are_kept() -> None:
    """As many that completed and as many that failed as the limits say."""
    def job(name: str, *conditions: str) -> Any:
        held = [{"type": condition, "status": "True"} for condition in conditions]
        return {"metadata": {"name": name}, "status": {"conditions": held}}

    jobs = [job("a", "Complete"), job("b", "Complete"), job("c", "Failed"), job("d")]
    assert [j["metadata"]["name"] for j in to_forget(cron(), jobs)] == ["a", "c"]


async def test_a_missed_run_is_made_up_for(world: World) -> None:
    """A cron job that was asleep makes one job when it wakes, and knows it as active."""
    await world.client.create("cronjobs", units.CronJob("tick", schedule="@every 1s", image="busybox"))

    async def made() -> Any:
        status = (await world.client.get("cj", "tick"))["status"]
        jobs = await world.items("jobs")
        assert [ref["name"] for ref in status["active"]] == [jobs[0]["metadata"]["name"]]
        return jobs[0]["metadata"]["ownerReferences"][0]["name"]

    assert await world.until(made) == "tick"


async def test_jobs_that_are_not_as_noted_are_told_of(world: World) -> None:
    """One that nobody of us made, and one that is gone."""
    it = units.CronJob("tick", schedule="@yearly", image="busybox")
    it["spec"]["suspend"] = True
    made = await world.client.create("cronjobs", it)
    job = units.Job("by-hand", image="never")
    job["metadata"]["ownerReferences"] = [owner_reference(made, "CronJob", "batch/v1")]
    await world.client.create("jobs", job)
    gone = {"apiVersion": "batch/v1", "kind": "Job", "name": "gone", "namespace": "default", "uid": "x"}
    await world.client.patch("cronjobs", "tick", {"status": {"active": [gone]}}, subresource="status")

    async def told() -> Any:
        found = {e[1:4] for e in await world.events() if e[0] == "CronJob/tick"}
        unexpected = "Saw a job that the controller did not create or forgot: by-hand"
        assert found == {("Warning", "UnexpectedJob", unexpected),
                         ("Normal", "MissingJob", "Active job went missing: gone")}
        return not (await world.client.get("cj", "tick"))["status"].get("active")

    await world.until(told)


async def test_a_claim_goes_when_nobody_uses_it(world: World) -> None:
    """The finalizer stays while a pod mounts it; a volume's goes when it is not bound."""
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    pod = units.Pod("reader", image="busybox", node="node-1")
    pod["spec"] |= {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
                    "terminationGracePeriodSeconds": 0}
    await world.client.create("pvc", claim)
    await world.client.create("pods", pod)
    await world.client.delete("pvc", "data")
    assert (await world.client.get("pvc", "data"))["metadata"]["deletionTimestamp"]
    await world.client.delete("pods", "reader")

    async def gone() -> bool:
        return not await world.items("pvc")

    await world.until(gone)
