"""A Job's pod failure policy: some failures end the job, some end an index, some do not count.

    failed pod ─► first rule that matches its exit codes or conditions ─► FailJob · FailIndex · Ignore · Count

Models: pkg/controller/job/pod_failure_policy.go
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.control_plane.controllers.job_indexes import index_of
from kubelab.machinery.request import Obj


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy makes of failed pods. `fail_job` is the message, "" when the job goes on."""

    fail_job: str = ""
    fail_indexes: frozenset[int] = frozenset()
    ignored: frozenset[str] = frozenset()  # uids


def judge(job: Obj, failed: Iterable[Obj]) -> Verdict:
    """Apply the rules to failed pods that were not counted yet."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    if not rules:
        return Verdict()
    message, indexes, ignored = "", set(), set()
    for pod in failed:
        number, rule, what = _first_match(pod, rules)
        if rule is None:
            continue
        action, meta = rule["action"], pod["metadata"]
        if action == "FailJob" and not message:
            message = f"{what} matching FailJob rule at index {number}"
        elif action == "FailIndex" and (index := index_of(pod)) is not None:
            indexes.add(index)
        elif action == "Ignore":
            ignored.add(meta["uid"])
    return Verdict(message, frozenset(indexes), frozenset(ignored))


def _first_match(pod: Obj, rules: Iterable[Obj]) -> tuple[int, Obj | None, str]:
    for number, rule in enumerate(rules):
        what = _by_exit_code(pod, rule["onExitCodes"]) if rule.get("onExitCodes") else \
            _by_condition(pod, rule.get("onPodConditions") or ())
        if what:
            return number, rule, what
    return 0, None, ""


def _by_exit_code(pod: Obj, wanted: Obj) -> str:
    meta, status = pod["metadata"], pod.get("status") or {}
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        ended = (container.get("state") or {}).get("terminated")
        if ended is None or wanted.get("containerName") not in (None, container["name"]):
            continue
        code = ended.get("exitCode", 0)
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            pod_name = f"{meta['namespace']}/{meta['name']}"
            return f"Container {container['name']} for pod {pod_name} failed with exit code {code}"
    return ""


def _by_condition(pod: Obj, patterns: Iterable[Obj]) -> str:
    meta = pod["metadata"]
    for pattern in patterns:
        for condition in (pod.get("status") or {}).get("conditions") or ():
            if condition["type"] == pattern["type"] and condition["status"] == pattern.get("status", "True"):
                return f"Pod {meta['namespace']}/{meta['name']} has condition {condition['type']}"
    return ""
