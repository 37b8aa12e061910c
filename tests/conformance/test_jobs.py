"""Jobs, cron jobs and disruption budgets; the pods end as their annotations tell the hollow nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import MERGE, STRATEGIC, Api, Obj

HOLLOW = "hollow.kubelab.io/"


def root(ns: str, plural: str = "jobs") -> str:
    group = {
        "jobs": "apis/batch/v1",
        "cronjobs": "apis/batch/v1",
        "pods": "api/v1",
        "poddisruptionbudgets": "apis/policy/v1",
    }[plural]
    return f"/{group}/namespaces/{ns}/{plural}"


def job(ends: str | None = "0", policy: str = "Never", **spec: Any) -> Obj:
    notes = {} if ends is None else {f"{HOLLOW}exit-code": ends}
    template = {
        "metadata": {"labels": {"job": "j"}, "annotations": notes},
        "spec": {
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "busybox"}],
        },
    }
    return {"metadata": {"name": "j", "labels": {"e2e": "j"}}, "spec": {"template": template, **spec}}


def conditions(status: Obj | None) -> list[tuple[str, str]]:
    return [(c["type"], c["reason"]) for c in (status or {}).get("conditions") or () if c["status"] == "True"]


def finished(api: Api, ns: str) -> Obj:
    return dict(
        api.until(f"{root(ns)}/j", lambda o: {"Complete", "Failed"} & {c for c, _ in conditions(o.get("status"))})[
            "status"
        ]
    )


def active(api: Api, ns: str, count: int) -> list[Obj]:
    return list(
        api.until(
            f"{root(ns, 'pods')}?labelSelector=job=j",
            lambda o: sum((p.get("status") or {}).get("phase") == "Running" for p in o["items"]) == count,
        )["items"]
    )


def test_an_indexed_job(api: Api, ns: str) -> None:
    """Each index has its pod with annotation, label, host name and variable, and all of them complete the job."""
    api.made(root(ns), job(completionMode="Indexed", completions=3, parallelism=2))
    status = finished(api, ns)
    assert conditions(status) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert (status["completedIndexes"], status["succeeded"]) == ("0-2", 3)
    key = "batch.kubernetes.io/job-completion-index"
    for one in api.get(root(ns, "pods"))["items"]:
        index = one["metadata"]["annotations"][key]
        assert one["metadata"]["labels"][key] == index and one["spec"]["hostname"] == f"j-{index}"
        assert "JOB_COMPLETION_INDEX" in [e["name"] for e in one["spec"]["containers"][0]["env"]]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"backoffLimit": 0}, [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}},
            [("FailureTarget", "PodFailurePolicy"), ("Failed", "PodFailurePolicy")],
        ),
        (
            {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 0},
            [("FailureTarget", "FailedIndexes"), ("Failed", "FailedIndexes")],
        ),
        (
            {
                "completionMode": "Indexed",
                "completions": 4,
                "parallelism": 1,
                "backoffLimitPerIndex": 0,
                "maxFailedIndexes": 0,
            },
            [("FailureTarget", "MaxFailedIndexesExceeded"), ("Failed", "MaxFailedIndexesExceeded")],
        ),
    ],
)
def test_a_job_fails(api: Api, ns: str, spec: Obj, expected: list[tuple[str, str]]) -> None:
    """By its limit, its policy, its indexes: the target is told before the end."""
    api.made(root(ns), job("1", **spec))
    assert conditions(finished(api, ns)) == expected


@pytest.mark.parametrize("rule", [{"succeededCount": 1}, {"succeededIndexes": "0"}])
def test_a_job_that_has_succeeded_enough(api: Api, ns: str, rule: Obj) -> None:
    """A success policy ends the others."""
    body = job(completionMode="Indexed", completions=2, parallelism=1, successPolicy={"rules": [rule]})
    api.made(root(ns), body)
    assert conditions(finished(api, ns)) == [("SuccessCriteriaMet", "SuccessPolicy"), ("Complete", "SuccessPolicy")]


def test_a_job_adopts_and_releases(api: Api, ns: str) -> None:
    """An orphan is adopted again; a pod that no longer matches is let go; deleting the job ends them."""
    api.made(root(ns), job(None, parallelism=2, completions=2))
    one, two = (p["metadata"]["name"] for p in active(api, ns, 2))
    api.patch(f"{root(ns, 'pods')}/{one}", {"metadata": {"ownerReferences": None}}, MERGE)
    api.until(f"{root(ns, 'pods')}/{one}", lambda o: o["metadata"].get("ownerReferences"))
    api.patch(f"{root(ns, 'pods')}/{two}", {"metadata": {"labels": None}}, MERGE)
    api.until(f"{root(ns, 'pods')}/{two}", lambda o: not o["metadata"].get("ownerReferences"))
    api.delete(f"{root(ns)}/j", {"propagationPolicy": "Foreground"})
    api.gone(f"{root(ns)}/j")
    api.gone(f"{root(ns, 'pods')}/{one}")


def test_a_suspended_job(api: Api, ns: str) -> None:
    """It has no pods and says so, may be narrowed down, resumes, and its status is written by others too."""
    api.made(root(ns), job(None, suspend=True))
    api.until(f"{root(ns)}/j", lambda o: ("Suspended", "JobSuspended") in conditions(o.get("status")))
    assert api.get(root(ns, "pods"))["items"] == []
    patched = api.patch(
        f"{root(ns)}/j", {"metadata": {"labels": {"patched": "yes"}}, "spec": {"suspend": False}}, STRATEGIC
    )
    assert patched["metadata"]["labels"] == {"e2e": "j", "patched": "yes"}
    active(api, ns, 1)
    shown = api.patch(
        f"{root(ns)}/j/status",
        {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"startTime": "2026-01-01T00:00:00Z"}},
    )
    assert shown.status in (200, 422)
    assert api.get(f"{root(ns)}/j/status")["kind"] == "Job"
    assert len(api.get("/apis/batch/v1/jobs?labelSelector=patched=yes")["items"]) >= 1
    assert api.delete(f"{root(ns)}?labelSelector=e2e=j", {"propagationPolicy": "Background"}).status == 200
    api.gone(f"{root(ns)}/j")


def test_the_status_of_a_cron_job(api: Api, ns: str) -> None:
    """It is patched and updated through /status."""
    path = root(ns, "cronjobs")
    api.made(
        path, {"metadata": {"name": "c"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job()["spec"]}}}
    )
    when = "2026-01-01T00:00:00Z"
    assert api.patch(f"{path}/c/status", {"status": {"lastScheduleTime": when}})["status"]["lastScheduleTime"] == when
    read = api.get(f"{path}/c/status").body
    read["status"]["lastScheduleTime"] = "2026-01-02T00:00:00Z"
    assert api.put(f"{path}/c/status", read)["status"]["lastScheduleTime"] == "2026-01-02T00:00:00Z"


def test_a_budget_holds_evictions_back(api: Api, ns: str) -> None:
    """It counts what it allows; too many evictions are 429 with their cause; a wider budget lets them through."""
    budgets, pods = root(ns, "poddisruptionbudgets"), root(ns, "pods")
    for n in range(3):
        api.made(
            pods,
            {
                "metadata": {"name": f"p{n}", "labels": {"app": "a"}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "nginx"}]},
            },
        )
    api.made(
        budgets, {"metadata": {"name": "b"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "a"}}}}
    )
    api.until(f"{budgets}/b", lambda o: (o.get("status") or {}).get("disruptionsAllowed") == 1)
    status = api.get(f"{budgets}/b/status")["status"]
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (3, 2, 3)

    def evict(name: str) -> Any:
        return api.post(
            f"{pods}/{name}/eviction",
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": ns}},
        )

    assert evict("p0").status == 201
    refused = evict("p1")
    assert refused.status == 429 and refused.body["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert api.patch(f"{budgets}/b", {"spec": {"minAvailable": 1}}, STRATEGIC)["spec"]["minAvailable"] == 1
    api.until(f"{budgets}/b", lambda o: o["status"]["disruptionsAllowed"] == 1)
    assert evict("p1").status == 201
    assert api.delete(budgets).status == 200
