"""CronJob: a Job at the times that a schedule names.

Models: pkg/registry/batch/cronjob and pkg/apis/batch/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, schedule
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, selector_text, since, template_columns
from kubelab.units.job import Job, default_patterns, many_indexes
from kubelab.units.job_validation import spec_errors
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults

POLICIES = ("Allow", "Forbid", "Replace")
MAX_NAME = 52  # 63 less what the controller puts behind it
NAMED_BY_GO = ("UTC", "Local")  # which Go knows without a database of zones
ZONES = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


def _default(cron: Obj) -> None:
    spec = cron.setdefault("spec", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    default_patterns(template.setdefault("spec", {}))
    template_defaults(template["spec"].setdefault("template", {}))
    cron.setdefault("status", {})


def _prepare_create(cron: Obj) -> None:
    cron["status"] = {}


def _validate(cron: Obj) -> Sequence[FieldError]:
    """Say what is wrong with one that is new; of one that was there, what depends on how it was is told apart."""
    if cron["metadata"].get("resourceVersion"):
        return ()
    name = cron["metadata"].get("name", "")
    long = [] if len(name) <= MAX_NAME else [
        invalid_value("metadata.name", name, f"must be no more than {MAX_NAME} characters")]
    return [*_spec_errors(cron["spec"], {}), *long]


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(new["spec"], old["spec"]))


def _spec_errors(spec: Obj, old: Obj) -> rules.Errors:
    if not spec.get("schedule"):
        yield required("spec.schedule")
    else:
        yield from _schedule_errors(spec["schedule"], spec.get("timeZone"), "TZ" in old.get("schedule", ""))
    yield from rules.not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if not old or spec.get("timeZone") != old.get("timeZone"):
        yield from _zone_errors(spec.get("timeZone"))
    yield from rules.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), POLICIES)
    path, job = "spec.jobTemplate.spec", spec["jobTemplate"]["spec"]
    yield from spec_errors(job, path)
    if job.get("selector") is not None:
        yield rules.invalid_selector(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield rules.unsupported(f"{path}.manualSelector", True, ("nil", "false"))
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from rules.not_negative(f"spec.{key}", spec.get(key))


def _schedule_errors(text: str, zone: str | None, had_zone: bool) -> rules.Errors:
    try:
        schedule.parse(text)
    except ValueError as error:
        yield invalid_value("spec.schedule", text, str(error))
    if "TZ" in text and not had_zone:
        yield invalid_value("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif "TZ" in text and zone is not None:
        yield invalid_value("spec.schedule", text, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _zone_errors(zone: str | None) -> rules.Errors:
    if zone is None:
        return
    if not zone:
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        yield invalid_value("spec.timeZone", zone, ZONES)
    if zone not in NAMED_BY_GO:
        try:
            schedule.zone_of(zone)
        except ValueError as error:
            yield invalid_value("spec.timeZone", zone, str(error))


def _warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    path = ("spec", "jobTemplate", "spec")
    yield from pod_warnings.workload(*path, "template", also=lambda cron: many_indexes(
        cron["spec"]["jobTemplate"]["spec"], ".".join(path)))(new, old)
    if "TZ" in new["spec"].get("schedule", ""):
        yield ("CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see "
               "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")


def _last(cron: Obj, now: float) -> str:
    last = (cron.get("status") or {}).get("lastScheduleTime")
    return since(last, now) if last else NONE


CRON_JOB = Kind(
    "CronJob", "cronjobs", meta_looks=(1, 0), group="batch", short_names=("cj",), categories=("all",),
    subresources=frozenset({"status"}), generation=True,
    default=_default, prepare_create=_prepare_create, validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
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
