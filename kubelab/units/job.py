"""Job: pods that end, run until enough of them have succeeded.

Models: pkg/registry/batch/job of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubelab.machinery import clock, meta, names
from kubelab.machinery.errors import FieldError
from kubelab.machinery.request import Obj
from kubelab.units import job_status_validation, job_validation
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, selector_text, template_columns
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.template import workload

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
MAX_INT32 = 2**31 - 1
MANY_COMPLETIONS, MANY_AT_A_TIME = 100_000, 10_000
# What a job is called in `kubectl get`: the first condition that holds.
ENDED, UNDER_WAY = ("Complete", "Failed"), ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def _default(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if spec.get("parallelism") is None:
        if spec.get("completions") is None:
            spec["completions"] = 1
        spec["parallelism"] = 1
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else MAX_INT32)
    spec["completionMode"] = spec.get("completionMode") or "NonIndexed"
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    if not spec.get("podReplacementPolicy"):
        spec["podReplacementPolicy"] = "Failed" if policy is not None else "TerminatingOrFailed"
    default_patterns(spec)
    template_defaults(spec.setdefault("template", {}))
    _labels_of_template(job)


def default_patterns(spec: Obj) -> None:
    """A failure policy that names a condition means that it holds."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def _labels_of_template(job: Obj) -> None:
    """A job without labels has its template's; those that are made of a name that is too long are refused there."""
    labels, own = job["spec"]["template"]["metadata"].get("labels"), job["metadata"]
    if labels and own.get("uid") and not own.get("labels") and not names.label_value_errors(own.get("name", "")):
        own["labels"] = dict(labels)


def _prepare_create(job: Obj) -> None:
    """Start with an empty status and, unless the author chose, a selector that can match no other job's pods."""
    job["status"] = {}
    if not job["spec"]["manualSelector"]:
        template, own = job["spec"]["template"]["metadata"], generated_labels(job)
        template["labels"] = {**own, **(template.get("labels") or {})}
        selector = job["spec"].get("selector") or {}
        chosen = {CONTROLLER_UID: own[CONTROLLER_UID], **(selector.get("matchLabels") or {})}
        job["spec"]["selector"] = {**selector, "matchLabels": chosen}
    _labels_of_template(job)


def generated_labels(job: Obj) -> dict[str, str]:
    name, uid = job["metadata"].get("name", ""), job["metadata"]["uid"]
    return {OLD_CONTROLLER_UID: uid, OLD_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}


def _validate(job: Obj) -> Sequence[FieldError]:
    return list(job_validation.errors(job, {} if job["spec"]["manualSelector"] else generated_labels(job)))


def many_indexes(spec: Obj, path: str) -> Iterable[str]:
    """Warn of a job whose indexes may become too many to be written down."""
    if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > MANY_COMPLETIONS \
            and (spec.get("parallelism") or 0) > MANY_AT_A_TIME:
        yield (f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
               "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail")


def _fields(job: Obj) -> Mapping[str, str]:
    return {"status.successful": str((job.get("status") or {}).get("succeeded", 0))}


def holds(job: Obj, condition: str) -> bool:
    """Say whether a condition of a job is True."""
    return (meta.get_condition(job, condition) or {}).get("status") == "True"


def _state(job: Obj) -> str:
    for condition in ENDED:
        if holds(job, condition):
            return condition
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    return next((condition for condition in UNDER_WAY if holds(job, condition)), "Running")


def _completions(job: Obj) -> str:
    done, spec = (job.get("status") or {}).get("succeeded", 0), job["spec"]
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    return f"{done}/1 of {spec['parallelism']}" if spec.get("parallelism", 0) > 1 else f"{done}/1"


def _duration(job: Obj, now: float) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = clock.parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
    return meta.age(end - clock.parse_timestamp(status["startTime"]))


JOB = Kind(
    "Job", "jobs", group="batch", categories=("all",), subresources=frozenset({"status"}), generation=True,
    default=_default, prepare_create=_prepare_create, validate=_validate,
    validate_update=job_validation.update_errors,
    validate_part=job_status_validation.errors,
    warnings=pod_warnings.workload("spec", "template", also=lambda job: many_indexes(job["spec"], "spec")),
    columns=(
        NAME,
        Column("Status", lambda o, now: _state(o), description="Status of the job."),
        Column("Completions", lambda o, now: _completions(o), path="status.succeeded"),
        Column("Duration", _duration, description="Time required to complete the job."),
        AGE,
        *template_columns(Column("Selector", lambda o, now: selector_text(o["spec"].get("selector")), priority=1,
                                 path="spec.selector")),
    ),
    selectable=_fields, selectable_keys=("status.successful",),
    unselectable='field label "{}" not supported for batchv1.Job',
)


def Job(name: str, *, image: str, completions: int | None = None, parallelism: int | None = None,
        indexed: bool = False, restart: str = "Never", labels: Mapping[str, str] | None = None,
        namespace: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a job with one container; see `Pod` for `of_container`."""
    out = workload("batch/v1", "Job", name, image, 0, labels, namespace, of_container)
    spec: Obj = {"template": out["spec"]["template"]}
    spec["template"]["spec"]["restartPolicy"] = restart
    for key, value in (("completions", completions), ("parallelism", parallelism)):
        if value is not None:
            spec[key] = value
    if indexed:
        spec["completionMode"] = "Indexed"
    return {**out, "spec": spec}
