"""Workloads, claims, budgets, quotas, autoscalers: what is filled in, what is refused, what stays, what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.clock import timestamp
from kubelab.machinery.meta import copy_obj
from kubelab.units import schedule

NOW = 1_767_323_045.0


def made(obj: dict[str, Any]) -> dict[str, Any]:
    """Take an object as far as the API server does before it validates."""
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    out = copy_obj(obj)
    kind.default(out)
    out["metadata"] |= {"uid": "u", "creationTimestamp": timestamp(NOW - 60)}
    kind.prepare_create(out)
    return out


def errors(obj: dict[str, Any]) -> list[str]:
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return [str(e) for e in kind.validate(made(obj))]


def plain(kind: str, api_version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec}


def claim(**spec: Any) -> dict[str, Any]:
    return plain("PersistentVolumeClaim", accessModes=["ReadWriteOnce"], resources={"requests": {"storage": "1Gi"}},
                 **spec)


TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w"}
SCALER: dict[str, Any] = {"maxReplicas": 3, "scaleTargetRef": TARGET}


@pytest.mark.parametrize("obj", [
    units.Job("j", image="busybox"), units.Job("j", image="busybox", completions=3, indexed=True),
    units.CronJob("c", schedule="*/5 * * * *", image="busybox"), units.StatefulSet("s", image="redis", storage="1Gi"),
    units.DaemonSet("d", image="nginx"), claim(), plain("HorizontalPodAutoscaler", "autoscaling/v2", **SCALER),
    plain("PodDisruptionBudget", "policy/v1", minAvailable="50%", selector={}),
], ids=lambda o: o["kind"])
def test_what_the_builders_write_is_sound(obj: dict[str, Any]) -> None:
    """Defaults make it complete, and nothing is wrong with it."""
    assert errors(obj) == []


@pytest.mark.parametrize(("obj", "message"), [
    (units.Job("j", image="i", restart="Always"),
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    (units.CronJob("c", schedule="* * *", image="i"),
     'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'),
    (units.CronJob("c" * 53, schedule="@hourly", image="i"),
     f'metadata.name: Invalid value: "{"c" * 53}": must be no more than 52 characters'),
    (plain("PodDisruptionBudget", "policy/v1", minAvailable="110%"),
     'spec.minAvailable: Invalid value: "110%": must not be greater than 100%'),
    (plain("PersistentVolume", capacity={"storage": "1Gi"}, accessModes=["ReadWriteOnce"]),
     "spec: Required value: must specify a volume type"),
    (plain("ResourceQuota", hard={"pods": "1"}, scopes=["BestEffort", "NotBestEffort"]),
     'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'),
    (plain("LimitRange", limits=[{"type": "PersistentVolumeClaim"}]), "spec.limits[0].limits: Required value: either "
     "minimum or maximum storage value is required, but neither was provided"),
    ({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "x"}},
     "data: Required value: data is mandatory"),
    (plain("HorizontalPodAutoscaler", "autoscaling/v2", **SCALER, minReplicas=5),
     "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"),
], ids=lambda x: x["kind"] if isinstance(x, dict) else "")
def test_a_bad_object_is_refused(obj: dict[str, Any], message: str) -> None:
    """Each kind has its own rules, in Kubernetes' words."""
    assert errors(obj) == [message]


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return plain(kind, "v1" if kind == "ReplicationController" else "apps/v1",
                 **{"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec})


ILL = {"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "X"}]}
SHOWN = '{"matchLabels":{"b":"c"},"matchExpressions":[{"key":"a","operator":"X"}]}'
OPERATOR = 'spec.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator'
MOUNTS = {"metadata": {"labels": {"app": "a"}}, "spec": {"activeDeadlineSeconds": 5, "containers": [
    {"name": "c", "image": "i", "volumeMounts": [{"name": n, "mountPath": f"/{n}"} for n in ("data", "none")]}]}}
DEADLINE = "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {} is not Supported"
CLAIMS = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                  "resources": {"requests": {"storage": "1Gi"}}}}]


@pytest.mark.parametrize(("obj", "told"), [
    (workload("Deployment", selector=ILL),
     [OPERATOR, f"spec.selector: Invalid value: {SHOWN}: invalid label selector"]),
    (workload("StatefulSet", selector=ILL, template=MOUNTS, volumeClaimTemplates=CLAIMS),
     [OPERATOR, f"spec.selector: Invalid value: {SHOWN}", DEADLINE.format("StatefulSet")]),
    (workload("StatefulSet", template=MOUNTS, volumeClaimTemplates=CLAIMS), [
        'spec.template.spec.containers[0].volumeMounts[1].name: Not found: "none"', DEADLINE.format("StatefulSet")]),
    (workload("StatefulSet", updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
     ['spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for '
      "updateStrategy 'RollingUpdate'"]),
    (workload("StatefulSet", persistentVolumeClaimRetentionPolicy={"whenScaled": "X"}, revisionHistoryLimit=-1),
     ['spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "X": supported values: "Retain", '
      '"Delete"']),
    (workload("DaemonSet", selector=None), ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` '
                                            "does not match template `labels`"]),
    (workload("DaemonSet", updateStrategy={"rollingUpdate": {"maxUnavailable": "x", "maxSurge": "120%"}}), [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"x\": a valid percent string must be a "
        "numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        'spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "120%": must not be greater than 100%']),
    (workload("ReplicationController", selector={"app": "a"}, template={
        **MOUNTS, "spec": {"activeDeadlineSeconds": 5, "containers": [{"name": "c", "image": "i"}]}}),
     [DEADLINE.format("ReplicationController")]),
])
def test_a_bad_workload_is_refused(obj: dict[str, Any], told: list[str]) -> None:
    """Every error at once; with a selector that nobody can read, each kind stops somewhere else."""
    assert errors(obj) == told


def test_a_stateful_set_is_warned_of_what_it_keeps() -> None:
    """Revisions without end, and half a byte."""
    claims = [{"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": "0.5"}}}}]
    it = made(workload("StatefulSet", revisionHistoryLimit=-1, volumeClaimTemplates=claims))
    assert list(units.find("sts").warnings(it, None)) == [
        'spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "500m" is invalid, must be an '
        "integer", "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
        "recommended"]


STATUSES = [
    (workload("Deployment"), {"replicas": 1, "readyReplicas": 0, "availableReplicas": 1, "terminatingReplicas": -1}, [
        "status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas"]),
    (workload("StatefulSet"), {"replicas": 1, "availableReplicas": 1, "collisionCount": -1}, [
        "status.collisionCount: Invalid value: -1: must be greater than or equal to 0",
        "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas"]),
    (plain("HorizontalPodAutoscaler", "autoscaling/v2", **SCALER), {"currentReplicas": -1},
     ["status.currentReplicas: Invalid value: -1: must be greater than or equal to 0"]),
    (plain("PodDisruptionBudget", "policy/v1"), {"expectedPods": -1, "conditions": [{"type": "T", "status": "?",
                                                                                     "reason": "No-"}]}, [
        'status.conditions[0].status: Unsupported value: "?": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value",
        'status.conditions[0].reason: Invalid value: "No-": a condition reason must start with alphabetic character, '
        "optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric "
        "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', "
        "regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
        "status.expectedPods: Invalid value: -1: must be greater than or equal to 0"]),
]


@pytest.mark.parametrize(("obj", "status", "told"), STATUSES)
def test_a_bad_report_is_refused(obj: dict[str, Any], status: dict[str, Any], told: list[str]) -> None:
    """Numbers of what is there are not negative, and a part is not more than the whole."""
    old, kind = made(obj), units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    assert [str(e) for e in kind.validate_part({**old, "status": status}, old, "status")] == told


def test_a_job_chooses_its_own_pods() -> None:
    """Its selector and labels follow from its uid, so that no other job's pods are counted."""
    job = made(units.Job("j", image="busybox"))
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"


@pytest.mark.parametrize(("obj", "change", "field"), [
    (units.Job("j", image="i"), {"completions": 5}, "spec.completions"),
    (units.Job("j", image="i"), {"parallelism": 5}, None),
    (units.StatefulSet("s", image="i"), {"serviceName": "z"}, "spec"),
    (units.StatefulSet("s", image="i"), {"replicas": 5}, None),
    (units.DaemonSet("d", image="i"), {"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
    (claim(), {"accessModes": ["ReadOnlyMany"]}, "spec"), (claim(), {"storageClassName": "fast"}, None),
])
def test_what_is_immutable_stays(obj: dict[str, Any], change: dict[str, Any], field: str | None) -> None:
    """What else may change, may."""
    old = made(obj)
    new = copy_obj(old)
    new["spec"] |= change
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    assert [e.field for e in kind.validate_update(new, old)] == ([field] if field else [])


def test_a_daemon_set_counts_its_templates() -> None:
    """A new template, a new generation; anything else leaves it."""
    kind, old = units.find("ds"), made(units.DaemonSet("d", image="a"))
    same, new = copy_obj(old), copy_obj(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "b"
    for obj in (same, new):
        kind.prepare_update(obj, old)
    key = "deprecated.daemonset.template.generation"
    assert [o["metadata"]["annotations"][key] for o in (old, same, new)] == ["1", "1", "2"]


def cells(obj: dict[str, Any], **status: Any) -> dict[str, Any]:
    out = made(obj)
    out["status"] |= status
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return {column.name: column.cell(out, NOW) for column in kind.columns}


def test_cells_tell_how_it_stands() -> None:
    """As `kubectl get` shows them."""
    done = [{"type": "Complete", "status": "True"}]
    job = cells(units.Job("j", image="i", completions=3), succeeded=3, conditions=done,
                startTime=timestamp(NOW - 50), completionTime=timestamp(NOW - 30))
    assert (job["Status"], job["Completions"], job["Duration"]) == ("Complete", "3/3", "20s")
    quota = cells(plain("ResourceQuota", hard={}), hard={"limits.cpu": "2", "pods": "5"}, used={"pods": "1"})
    assert (quota["Request"], quota["Limit"]) == ("pods: 1/5", "limits.cpu: 0/2")
    scaler = cells(plain("HorizontalPodAutoscaler", "autoscaling/v2", **SCALER))
    assert (scaler["Reference"], scaler["Targets"]) == ("Deployment/w", "cpu: <unknown>/80%")
    cron = cells(units.CronJob("c", schedule="@hourly", image="i"), lastScheduleTime=timestamp(NOW - 90))
    assert (cron["Last Schedule"], cron["Suspend"], cron["Active"]) == ("90s", "False", 0)
    assert cells(claim())["Status"] == "Pending"


@pytest.mark.parametrize(("text", "after"), [
    ("*/5 * * * *", "03:05:00"), ("@hourly", "04:00:00"), ("@every 90s", "03:05:35"),
    ("TZ=Asia/Kolkata 30 8 * * *", "03:00:00"),
])
def test_a_schedule_knows_when_it_is_next_due(text: str, after: str) -> None:
    """Five fields, a name, a step, or a time zone's own hours."""
    found = schedule.parse(text).after(NOW)
    assert found is not None
    assert timestamp(found)[11:19] == after


@pytest.mark.parametrize(("text", "why"), [
    ("61 * * * *", "end of range (61) above maximum (59): 61"),
    ("*/0 * * * *", "step of range should be a positive number: */0"),
    ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
    ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
    ("@often", "unrecognized descriptor: @often"), ("", "empty spec string"),
    ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
])
def test_a_bad_schedule_says_what_is_wrong(text: str, why: str) -> None:
    """In the words of the parser that Kubernetes uses."""
    with pytest.raises(ValueError) as error:
        schedule.parse(text)
    assert str(error.value) == why


@pytest.mark.parametrize(("text", "why"), [
    ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
    ("@often", "unrecognized descriptor: @often"), ("* * * * 7", "end of range (7) above maximum (6): 7"),
    ("*/0 * * * *", "step of range should be a positive number: */0"), ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
    ("* * * foo *", 'failed to parse int from foo: strconv.Atoi: parsing "foo": invalid syntax'),
])
def test_a_bad_schedule_is_refused(text: str, why: str) -> None:
    """In the words of the parser that Kubernetes uses."""
    with pytest.raises(ValueError) as error:
        schedule.parse(text)
    assert str(error.value) == why
