"""What a Job may say, what its policies may say, and what of it may change; and of a CronJob what depends on before."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.meta import copy_obj

INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 3}
POLICY = "spec.podFailurePolicy.rules[0]"


def job(**spec: Any) -> dict[str, Any]:
    """Return a job as the server completes it, before it looks for errors."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    out: dict[str, Any] = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "uid": "u"},
                           "spec": {"template": template, **copy_obj(spec)}}
    kind = units.find("jobs")
    kind.default(out)
    kind.prepare_create(out)
    return out


def failing(**rule: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [{"action": "Ignore", **rule}]}}


def succeeding(**rule: Any) -> dict[str, Any]:
    return {**INDEXED, "successPolicy": {"rules": [rule]}}


SPECS: list[tuple[dict[str, Any], list[str]]] = [
    ({"maxFailedIndexes": 1, "managedBy": "a.b/c d", "completionMode": "X"}, [
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        'spec.managedBy: Invalid value: "c d": Invalid path (regex used for validation is '
        "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
        'spec.completionMode: Unsupported value: "X": supported values: "NonIndexed", "Indexed"']),
    ({"backoffLimitPerIndex": 1}, ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"]),
    ({**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
     ["spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions"]),
    ({**INDEXED, "completions": 100_001, "parallelism": 100_001, "backoffLimitPerIndex": 1}, [
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 10000 when completions are above "
        "100000 and used with backoff limit per index"]),
    (failing(onExitCodes={"operator": "", "values": [0]}, onPodConditions=[{"type": "T", "status": "X"}]), [
        f'{POLICY}.onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
        f'{POLICY}.onPodConditions[0].status: Unsupported value: "X": supported values: "False", "True", "Unknown"',
        f"{POLICY}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"]),
    (failing(action="FailIndex", onExitCodes={"operator": "In", "containerName": "d", "values": [3, 0, 3]}), [
        f'{POLICY}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
        f'{POLICY}.onExitCodes.containerName: Invalid value: "d": must be one of the container or initContainer names '
        "in the pod template",
        f"{POLICY}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
        f"{POLICY}.onExitCodes.values[2]: Duplicate value: 3",
        f"{POLICY}.onExitCodes.values: Invalid value: [3,0,3]: must be ordered"]),
    (failing(onExitCodes={"operator": "NotIn"}),
     [f"{POLICY}.onExitCodes.values: Invalid value: null: at least one value is required"]),
    (succeeding(), ["spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes "
                    "must be specified"]),
    (succeeding(succeededCount=4), ["spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than "
                                    "or equal to 3 (the number of specified completions)"]),
    (succeeding(succeededIndexes="1,0"), [
        'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1,0": error parsing succeededIndexes: '
        "non-increasing order, previous: 1, current: 0"]),
    ({**failing(onPodConditions=[{"type": "T"}]), "podReplacementPolicy": "TerminatingOrFailed",
      "successPolicy": {"rules": []}}, [
          'spec.successPolicy: Invalid value: {"Rules":[]}: requires indexed completion mode',
          'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"']),
    ({"manualSelector": True}, ["spec.selector: Required value", "spec.template.metadata.labels: Invalid value: null: "
                                "`selector` does not match template `labels`"]),
]


@pytest.mark.parametrize(("spec", "told"), SPECS, ids=range(len(SPECS)))
def test_a_bad_job_is_refused(spec: dict[str, Any], told: list[str]) -> None:
    """Every error at once, in the order of Kubernetes."""
    assert [str(e) for e in units.find("jobs").validate(job(**spec))] == told


def test_labels_of_another_job_are_refused() -> None:
    """The old names of the labels are looked at first."""
    it = job()
    it["spec"]["template"]["metadata"]["labels"] |= {"job-name": "y"}
    del it["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"]
    assert [(e.field, e.reason) for e in units.find("jobs").validate(it)] == [
        ("spec.template.metadata.labels[job-name]", "FieldValueInvalid"),
        ("spec.template.metadata.labels[batch.kubernetes.io/job-name]", "FieldValueRequired")]


def test_a_name_that_is_too_long_for_a_label_is_told_of_the_template() -> None:
    """There the labels are that are made of it; the job's own follow later."""
    it = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x" * 64, "uid": "u"}, "spec": {
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}
    kind = units.find("jobs")
    kind.default(it)
    kind.prepare_create(it)
    assert {e.field for e in kind.validate(it)} == {"spec.template.labels"}
    assert "labels" not in it["metadata"]


CPU = {"requests": {"cpu": "1"}}
CHANGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {"parallelism": 4, "backoffLimit": 1}, {}, []),
    ({}, {"completions": 5}, {}, ["spec.completions"]),
    (INDEXED, {"completions": 5, "parallelism": 5}, {}, []),
    (INDEXED, {"completions": 5}, {}, ["spec.completions"]),
    ({}, {"managedBy": "a.b/c"}, {}, ["spec.managedBy"]),
    ({}, {"parallelism": -1}, {}, ["spec.parallelism"]),
    ({}, {}, {"nodeSelector": {"a": "b"}}, ["spec.template"]),
    ({"suspend": True}, {}, {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}}, []),
    ({"suspend": True}, {}, {"containers": [{"name": "c", "image": "i", "resources": CPU}]}, []),
    ({"suspend": True}, {}, {"containers": [{"name": "c", "image": "j", "resources": CPU}]}, ["spec.template.spec"]),
    ({"suspend": True}, {}, {"affinity": {"podAffinity": {}}}, ["spec.template.spec"]),
]


@pytest.mark.parametrize(("spec", "change", "pod", "told"), CHANGES, ids=range(len(CHANGES)))
def test_what_of_a_job_may_change(spec: dict[str, Any], change: dict[str, Any], pod: dict[str, Any],
                                  told: list[str]) -> None:
    """Nearly nothing; where its pods go and what they need, as long as it is suspended."""
    old, kind = job(**spec), units.find("jobs")
    new = copy_obj(old)
    new["spec"] |= change
    new["spec"]["template"]["spec"] |= copy_obj(pod)
    kind.default(new)
    assert [e.field for e in kind.validate_update(new, old)] == told


def cron(**spec: Any) -> dict[str, Any]:
    out = units.CronJob("c", schedule="@hourly", image="i")
    out["spec"] |= spec
    units.find("cronjobs").default(out)
    return out


@pytest.mark.parametrize(("old", "new", "told"), [
    (cron(), cron(schedule="TZ=UTC @hourly"),
     ["spec.schedule: Invalid value: \"TZ=UTC @hourly\": cannot use TZ or CRON_TZ in schedule, use timeZone field "
      "instead"]),
    (cron(schedule="TZ=UTC @hourly"), cron(schedule="TZ=UTC @daily"), []),
    (cron(schedule="TZ=UTC @hourly"), cron(schedule="TZ=UTC @daily", timeZone="UTC"),
     ['spec.schedule: Invalid value: "TZ=UTC @daily": cannot use both timeZone field and TZ or CRON_TZ in schedule']),
    (cron(), cron(timeZone="local"),
     ['spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in '
      "https://www.iana.org/time-zones", 'spec.timeZone: Invalid value: "local": unknown time zone local']),
    (cron(timeZone="Gone/Zone"), cron(timeZone="Gone/Zone", suspend=True), []),
])
def test_what_a_cron_job_had_it_may_keep(old: dict[str, Any], new: dict[str, Any], told: list[str]) -> None:
    """A zone in the schedule, or one that has left the database since."""
    assert [str(e) for e in units.find("cronjobs").validate_update(new, old)] == told


def test_many_indexes_are_warned_of() -> None:
    """They may not all be written down."""
    told = list(units.find("jobs").warnings(job(**INDEXED | {"completions": 100_001, "parallelism": 10_001}), None))
    assert [text[:24] for text in told] == ["spec: In Indexed Jobs wi"]
