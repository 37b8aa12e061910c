"""What a Job decides: whether it is over, which pods it makes, which it gives up, what it counts."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.controllers import job_indexes, job_status
from kubelab.control_plane.controllers.job_plan import outcome, plan_job, sort_pods
from kubelab.machinery.clock import timestamp

NOW = 1_767_323_045.0


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j", "namespace": "default", "uid": "u"}, "status": status or {}, "spec": {
        "parallelism": 2, "completions": 2, "backoffLimit": 6, "completionMode": "NonIndexed",
        "template": {"spec": {"restartPolicy": "Never"}}, **spec}}


def pod(name: str, phase: str = "Running", *, index: int | None = None, ended_s: float = 0, code: int = 1,
        tracked: bool = True, **meta: Any) -> dict[str, Any]:
    notes = {} if index is None else {job_indexes.INDEX: str(index)}
    ended = {"terminated": {"exitCode": code, "finishedAt": timestamp(NOW - ended_s)}}
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": notes,
                         "creationTimestamp": timestamp(NOW - 100),
                         "finalizers": ["batch.kubernetes.io/job-tracking"] if tracked else [], **meta},
            "spec": {}, "status": {"phase": phase, "containerStatuses": [
                {"name": "c", "state": ended if phase in ("Failed", "Succeeded") else {"running": {}}}]}}


@pytest.mark.parametrize(("spec", "pods", "made"), [
    ({}, [], 2),
    ({}, [pod("a")], 1),
    ({}, [pod("a", "Succeeded")], 1),
    ({"completions": 5, "parallelism": 3}, [pod("a", "Succeeded"), pod("b")], 2),
    ({"completions": None, "parallelism": 3}, [pod("a", "Succeeded"), pod("b")], 0),
    ({"suspend": True}, [], 0),
    ({"podReplacementPolicy": "Failed"}, [pod("a", deletionTimestamp="x"), pod("b")], 0),
])
def test_as_many_pods_run_as_are_still_needed(spec: dict[str, Any], pods: list[Any], made: int) -> None:
    """Never more than `parallelism`, never more than completions that are missing."""
    it = job(**spec)
    assert len(plan_job(it, sort_pods(it, pods), NOW).create) == made


def test_failures_in_a_row_are_retried_later_and_later() -> None:
    """10 s after the first failure, 20 s after the second; a success in between begins anew."""
    it = job()
    one = [pod("a", "Failed", ended_s=4)]
    assert plan_job(it, sort_pods(it, one), NOW).wait_s == 6
    two = [*one, pod("b", "Failed", ended_s=2)]
    assert plan_job(it, sort_pods(it, two), NOW).wait_s == 18
    assert plan_job(it, sort_pods(it, [*two, pod("c", "Succeeded", ended_s=1)]), NOW).create == (None,)


@pytest.mark.parametrize(("spec", "status", "pods", "reason"), [
    ({}, {}, [pod("a", "Succeeded"), pod("b", "Succeeded")], "CompletionsReached"),
    ({}, {"succeeded": 1}, [pod("a", "Succeeded", tracked=False)], None),
    ({}, {"uncountedTerminatedPods": {"succeeded": ["x"]}}, [pod("a", "Succeeded")], "CompletionsReached"),
    ({"backoffLimit": 0}, {}, [pod("a", "Failed")], "BackoffLimitExceeded"),
    ({"activeDeadlineSeconds": 5}, {"startTime": timestamp(NOW - 6)}, [pod("a")], "DeadlineExceeded"),
    ({"completionMode": "Indexed", "backoffLimitPerIndex": 0}, {},
     [pod("a", "Failed", index=0), pod("b", "Succeeded", index=1)], "FailedIndexes"),
    ({"completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 0}, {},
     [pod("a", "Failed", index=0)], "MaxFailedIndexesExceeded"),
    ({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}}, {},
     [pod("a", "Failed", code=42)], "PodFailurePolicy"),
    ({"backoffLimit": 0, "podFailurePolicy": {"rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]}}, {},
     [pod("a", "Failed", code=42)], None),
])
def test_a_job_ends_for_a_reason(spec: dict[str, Any], status: dict[str, Any], pods: list[Any],
                                 reason: str | None) -> None:
    """Enough successes, too many failures, too much time, or a failure that its policy calls final."""
    it = job(status, **spec)
    end = outcome(it, sort_pods(it, pods), NOW)
    assert (end.reason if end else None) == reason


def test_a_pod_is_counted_once() -> None:
    """Its uid is noted first; its number goes up when it has been let go; after that it is no news."""
    it, ended = job(), pod("a", "Succeeded")
    noted = job_status.noted(it, sort_pods(it, [ended]), None, NOW, 0)
    assert (noted["uncountedTerminatedPods"], noted.get("succeeded")) == ({"succeeded": ["uid-a"]}, None)
    final = job_status.counted(noted, None, NOW)
    assert (final["uncountedTerminatedPods"], final["succeeded"]) == ({}, 1)
    again = job(final)
    later = job_status.noted(again, sort_pods(again, [pod("a", "Succeeded", tracked=False)]), None, NOW, 0)
    assert job_status.counted(later, None, NOW)["succeeded"] == 1


def test_the_end_is_decided_before_it_is_reached() -> None:
    """FailureTarget while pods are still going, Failed afterwards, both with the reason."""
    it = job(backoffLimit=0)
    found = sort_pods(it, [pod("a", "Failed"), pod("b")])
    end = outcome(it, found, NOW)
    noted = job_status.noted(it, found, end, NOW, -1)
    assert [(c["type"], c["reason"]) for c in noted["conditions"]] == [("FailureTarget", "BackoffLimitExceeded")]
    assert [c["type"] for c in job_status.counted(noted, end, NOW)["conditions"]] == ["FailureTarget", "Failed"]


def test_each_index_waits_for_itself() -> None:
    """One that fails does not keep the others back; failures that its policy ignores count for the wait alone."""
    ignore = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]}
    it = job(completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=1, podFailurePolicy=ignore)
    once = pod("a", "Failed", index=0, ended_s=4)
    assert plan_job(it, sort_pods(it, [once]), NOW).create == (1, 2)
    others = [pod("b", index=1), pod("c", index=2)]
    assert plan_job(it, sort_pods(it, [once, *others]), NOW).wait_s == 6
    ignored = pod("a", "Failed", index=0, ended_s=4, code=42)
    ignored["metadata"]["annotations"] |= job_indexes.failure_notes(once, ignored=False)
    found = sort_pods(it, [ignored, *others])
    assert (plan_job(it, found, NOW).wait_s, job_indexes.failed_indexes(it, found.counting)) == (16, set())
    assert job_indexes.failure_notes(ignored, ignored=True) == {job_indexes.FAILURES: "1",
                                                                job_indexes.IGNORED_FAILURES: "1"}
    assert job_indexes.failed_indexes(it, [ignored]) == {0}


def test_restarts_of_all_containers_count() -> None:
    """Where the kubelet restarts them, the limit is for them together."""
    it = job(backoffLimit=3, template={"spec": {"restartPolicy": "OnFailure"}})
    one = pod("a")
    one["status"] |= {"initContainerStatuses": [{"name": "i", "restartCount": 1}]}
    one["status"]["containerStatuses"][0]["restartCount"] = 1
    assert outcome(it, sort_pods(it, [one]), NOW) is None
    one["status"]["containerStatuses"][0]["restartCount"] = 2
    assert outcome(it, sort_pods(it, [one]), NOW) is not None


def test_an_index_is_done_once() -> None:
    """The lowest free indexes come first; a second pod of one index is given up."""
    it = job({"completedIndexes": "0"}, completionMode="Indexed", completions=5, parallelism=3)
    found = sort_pods(it, [pod("a", index=2)])
    assert plan_job(it, found, NOW).create == (1, 3)
    twice = sort_pods(it, [pod("a", index=2), pod("b", index=2), pod("c", index=9)])
    assert {p["metadata"]["name"] for p in plan_job(it, twice, NOW).delete} == {"b", "c"}


@pytest.mark.parametrize(("text", "indexes"), [("", set()), ("0", {0}), ("0,2-4", {0, 2, 3, 4}), ("1,3", {1, 3})])
def test_indexes_are_written_as_ranges(text: str, indexes: set[int]) -> None:
    """There and back."""
    assert job_indexes.parse(text) == indexes
    assert job_indexes.text_of(indexes) == text


def test_a_pod_knows_its_index() -> None:
    """By annotation, label, hostname and JOB_COMPLETION_INDEX."""
    it = job(completionMode="Indexed")
    made = job_indexes.indexed({"metadata": {"generateName": "j-"}, "spec": {"containers": [{"name": "c"}]}}, it, 3)
    assert (made["metadata"]["generateName"], made["spec"]["hostname"]) == ("j-3-", "j-3")
    assert made["metadata"]["labels"] == made["metadata"]["annotations"] == {job_indexes.INDEX: "3"}
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


@pytest.mark.parametrize(("rules", "met"), [
    ([{"succeededCount": 2}], 0), ([{"succeededCount": 3}], None), ([{"succeededIndexes": "0,2"}], 0),
    ([{"succeededIndexes": "0-2"}], None), ([{"succeededIndexes": "0-2", "succeededCount": 2}], 0),
    ([{"succeededIndexes": "3-4", "succeededCount": 1}, {"succeededCount": 1}], 1), ([], None)])
def test_a_success_policy(rules: list[dict[str, Any]], met: int | None) -> None:
    """With the indexes 0 and 2 done, the first rule counts that asks for no more."""
    assert job_indexes.enough({"rules": rules}, {0, 2}) == met
