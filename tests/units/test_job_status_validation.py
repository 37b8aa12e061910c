"""What may be reported of a Job."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units.job_status_validation import errors

BEGAN, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
CONDITIONS = "status.conditions: Invalid value: "


def having(*conditions: str, **status: Any) -> dict[str, Any]:
    return {"startTime": BEGAN, "conditions": [{"type": c, "status": "True"} for c in conditions], **status}


DONE = having("SuccessCriteriaMet", "Complete", completionTime=ENDED)
WRITES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, having(active=2, ready=1), []),
    ({}, {}, DONE, []),
    ({}, {}, having("FailureTarget", "Failed"), []),
    ({}, {}, having("Failed"), [f"{CONDITIONS}cannot set Failed=True condition without the FailureTarget=true "
                                "condition"]),
    ({}, {}, having("Complete"), [
        "status.completionTime: Required value: completionTime is required for Complete jobs",
        f"{CONDITIONS}cannot set Complete=True condition without the SuccessCriteriaMet=true condition"]),
    ({}, {}, {**DONE, "active": 1, "startTime": None}, [
        "status.active: Invalid value: 1: active>0 is invalid for finished job",
        "status.startTime: Required value: startTime is required for finished job"]),
    ({}, {}, {**DONE, "terminating": 1, "uncountedTerminatedPods": {"failed": ["a"]}}, [
        'status.uncountedTerminatedPods: Invalid value: {"Succeeded":null,"Failed":["a"]}: must be empty for finished '
        "job", "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"]),
    ({}, {}, having(completionTime=ENDED), [f'status.completionTime: Invalid value: "{ENDED}": cannot set '
                                            "completionTime when there is no Complete=True condition"]),
    ({}, {}, {**DONE, "startTime": ENDED, "completionTime": BEGAN},
     [f'status.completionTime: Invalid value: "{BEGAN}": must be equal to or after `startTime`']),
    ({}, {}, having("SuccessCriteriaMet", "FailureTarget"),
     [f"{CONDITIONS}cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"]),
    ({}, DONE, having("SuccessCriteriaMet"), [f"{CONDITIONS}cannot disable the terminal Complete=True condition"]),
    ({}, DONE, {**DONE, "completionTime": "2026-01-01T00:02:00Z"},
     ['status.completionTime: Invalid value: "2026-01-01T00:02:00Z": field is immutable']),
    ({}, having(failed=2, succeeded=2), having(failed=1, succeeded=1), [
        "status.failed: Invalid value: 1: cannot decrease the failed counter",
        "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
    ({}, having(), {}, ["status.startTime: Required value: startTime cannot be removed for unsuspended job"]),
    ({"suspend": True}, having(), {}, []),
    ({}, {}, having(ready=1), ["status.ready: Invalid value: 1: cannot set more ready pods than active"]),
    ({}, {}, having(completedIndexes="0"), ['status.completedIndexes: Invalid value: "0": cannot set non-empty '
                                            "completedIndexes when non-indexed completion mode"]),
    ({"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}, {},
     having(completedIndexes="0-1", failedIndexes="1,3"), [
         'status.failedIndexes: Invalid value: "1,3": error parsing failedIndexes: too large index: "3"',
         'status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 1']),
    ({}, {}, having(active=-1, uncountedTerminatedPods={"succeeded": ["", "a"], "failed": ["a"]}), [
        "status.active: Invalid value: -1: must be greater than or equal to 0",
        'status.uncountedTerminatedPods.succeeded[0]: Invalid value: "": must not be empty',
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
]


@pytest.mark.parametrize(("spec", "old", "new", "told"), WRITES, ids=range(len(WRITES)))
def test_what_may_be_reported_of_a_job(spec: dict[str, Any], old: dict[str, Any], new: dict[str, Any],
                                       told: list[str]) -> None:
    """An end is told before it is reached and stays; numbers grow; indexes can be read."""
    now, was = ({"spec": spec, "status": status} for status in (new, old))
    assert [str(e) for e in errors(now, was, "status")] == told
