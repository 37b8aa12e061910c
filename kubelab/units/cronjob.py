"""CronJob: a Job at the times that a schedule names.

Models: pkg/registry/batch/cronjob and pkg/apis/batch/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, schedule, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, selector_text, since, template_columns
from kubelab.units.job import Job
from kubelab.units.job_validation import spec_errors
from kubelab.units.pod_defaults import template_defaults

POLICIES = ("Allow", "Forbid", "Replace")
MAX_NAME = 52  # 63 less what the controller puts behind it
ZONES = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


def _default(cron: Obj) -> None:
    spec = cron.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    template_defaults(template.setdefault("spec", {}).setdefault("template", {}))
    cron.setdefault("status", {})


def _prepare_create(cron: Obj) -> None:
    cron["status"] = {}


def _validate(cron: Obj) -> Sequence[FieldError]:
    name = cron["metadata"].get("name", "")
    long = [] if cron["metadata"].get("resourceVersion") or len(name) <= MAX_NAME else [
        invalid_value("metadata.name", name, f"must be no more than {MAX_NAME} characters")]
    return [*_spec_errors(cron["spec"]), *long]


def _spec_errors(spec: Obj) -> rules.Errors:
    if not spec.get("schedule"):
        yield required("spec.schedule")
    else:
        yield from _schedule_errors(spec["schedule"])
    yield from rules.not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    yield from _zone_errors(spec.get("timeZone"))
    yield from rules.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), POLICIES)
    path, job = "spec.jobTemplate.spec", spec["jobTemplate"]["spec"]
    yield from spec_errors(job, path)
    if job.get("selector") is not None:
        yield invalid_value(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield rules.unsupported(f"{path}.manualSelector", True, ("nil", "false"))
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from rules.not_negative(f"spec.{key}", spec.get(key))


def _schedule_errors(text: str) -> rules.Errors:
    try:
        schedule.parse(text)
    except ValueError as error:
        yield invalid_value("spec.schedule", text, str(error))
    if "TZ" in text:
        yield invalid_value("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")


def _zone_errors(zone: str | None) -> rules.Errors:
    if zone is None:
        return
    if not zone:
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        yield invalid_value("spec.timeZone", zone, ZONES)
    else:
        try:
            schedule.zone_of(zone)
        except ValueError as error:
            yield invalid_value("spec.timeZone", zone, str(error))


def _last(cron: Obj, now: float) -> str:
    last = (cron.get("status") or {}).get("lastScheduleTime")
    return since(last, now) if last else NONE


CRON_JOB = Kind(
    "CronJob", "cronjobs", group="batch", short_names=("cj",), categories=("all",),
    subresources=frozenset({"status"}), generation=True,
    default=_default, prepare_create=_prepare_create, validate=_validate,
    warnings=warnings.workload("spec", "jobTemplate", "spec", "template"),
    columns=(
        NAME,
        Column("Schedule", lambda o, now: o["spec"]["schedule"], path="spec.schedule"),
        Column("Timezone", lambda o, now: o["spec"].get("timeZone") or NONE, path="spec.timeZone"),
        Column("Suspend", lambda o, now: str(bool(o["spec"].get("suspend"))), type="boolean", path="spec.suspend"),
        Column("Active", lambda o, now: len((o.get("status") or {}).get("active") or ()), type="integer",
               path="status.active"),
        Column("Last Schedule", _last, path="status.lastScheduleTime"),
        AGE,
        *template_columns(
            Column("Selector", lambda o, now: selector_text(o["spec"]["jobTemplate"]["spec"].get("selector")),
                   priority=1, path="spec.jobTemplate.spec.selector"),
            template=lambda o: o["spec"]["jobTemplate"]["spec"]["template"]),
    ),
)


def CronJob(name: str, *, schedule: str, image: str, labels: Mapping[str, str] | None = None,
            namespace: str | None = None, **of_job: Any) -> Obj:
    """Write the manifest of a cron job; `of_job` is what `Job` takes."""
    job = Job(name, image=image, labels=labels, namespace=namespace, **of_job)
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": job["metadata"],
            "spec": {"schedule": schedule, "jobTemplate": {"spec": job["spec"]}}}
