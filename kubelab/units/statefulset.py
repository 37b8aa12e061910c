"""StatefulSet: pods with names, an order and volumes of their own.

Models: pkg/registry/apps/statefulset and pkg/apis/apps/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.claim_validation import claim_spec_errors
from kubelab.units.columns import AGE, NAME, template_columns
from kubelab.units.persistentvolumeclaim import claim_defaults
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.replication import selector_errors
from kubelab.units.template import workload, workload_template_errors

MUTABLE = frozenset({"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
                     "persistentVolumeClaimRetentionPolicy", "minReadySeconds"})
FROZEN = ("updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
          "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")
RETENTION = ("Retain", "Delete")
UNAVAILABLE = "maxUnavailable"


def _default(stateful: Obj) -> None:
    spec = stateful.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    keep = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        keep[key] = keep.get(key) or "Retain"
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("metadata", {})
        claim_defaults(claim)
    template_defaults(spec.setdefault("template", {}))
    _default_status(stateful)


def _default_status(stateful: Obj) -> None:
    """Show two counts always; a status may be shared, so a new one is made."""
    status = stateful.get("status") or {}
    if "replicas" not in status or "availableReplicas" not in status:
        stateful["status"] = {"replicas": 0, "availableReplicas": 0, **status}


def _prepare_create(stateful: Obj) -> None:
    stateful["status"] = {"replicas": 0, "availableReplicas": 0}
    _one_at_a_time(stateful["spec"])


def _prepare_update(new: Obj, old: Obj) -> None:
    if UNAVAILABLE not in ((old["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}):
        _one_at_a_time(new["spec"])


def _one_at_a_time(spec: Obj) -> None:
    """Drop a field whose feature gate is off by default: pods are replaced one at a time."""
    (spec["updateStrategy"].get("rollingUpdate") or {}).pop(UNAVAILABLE, None)


def _validate(stateful: Obj) -> Sequence[FieldError]:
    spec, fresh = stateful["spec"], not stateful["metadata"].get("resourceVersion")
    return [*_policy_errors(spec), *(_claim_errors(spec) if fresh else ()), *_count_errors(spec),
            *(_service_errors(spec) if fresh else ()), *selector_errors(spec, "statefulset", ""),
            *workload_template_errors(_with_claims(spec), spec.get("selector"), "StatefulSet")]


def _with_claims(spec: Obj) -> Obj:
    """Return the template as its pods will be: each claim is a volume, in place of one of that name."""
    template, claims = spec["template"], [claim["metadata"].get("name", "") for claim in
                                          spec.get("volumeClaimTemplates") or ()]
    if not claims:
        return cast(Obj, template)
    own = [volume for volume in template["spec"].get("volumes") or () if volume.get("name") not in claims]
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**template, "spec": {**template["spec"], "volumes": [*own, *added]}}


def _policy_errors(spec: Obj) -> rules.Errors:
    if spec["podManagementPolicy"] not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", spec["podManagementPolicy"],
                            "must be 'OrderedReady' or 'Parallel'")
    strategy, path = spec["updateStrategy"], "spec.updateStrategy"
    rolling = strategy.get("rollingUpdate")
    shown = None if rolling is None else {"Partition": rolling.get("partition", 0),
                                          "MaxUnavailable": rolling.get(UNAVAILABLE)}
    if strategy["type"] == "OnDelete":
        if shown is not None:
            yield rules.invalid_struct(f"{path}.rollingUpdate", shown,
                                       "only allowed for updateStrategy 'RollingUpdate'")
    elif strategy["type"] == "RollingUpdate":
        yield from _rolling_errors(rolling or {}, f"{path}.rollingUpdate")
    else:
        yield rules.invalid_struct(path, {"Type": strategy["type"], "RollingUpdate": shown},
                                   "must be 'RollingUpdate' or 'OnDelete'")
    for key in ("whenDeleted", "whenScaled"):
        value = spec["persistentVolumeClaimRetentionPolicy"][key]
        if value not in RETENTION:
            yield rules.unsupported(f"spec.persistentVolumeClaimRetentionPolicy.{key}", value, RETENTION)


def _rolling_errors(rolling: Obj, path: str) -> rules.Errors:
    yield from rules.not_negative(f"{path}.partition", rolling.get("partition"))
    unavailable = rolling.get(UNAVAILABLE)
    if unavailable is not None:
        yield from rules.int_or_percent(f"{path}.maxUnavailable", unavailable)
        if rules.int_of(unavailable) == 0:
            yield invalid_value(f"{path}.maxUnavailable", unavailable, "cannot be 0")
        yield from rules.at_most_100_percent(f"{path}.maxUnavailable", unavailable)


def _count_errors(spec: Obj) -> rules.Errors:
    yield from rules.not_negative("spec.replicas", spec.get("replicas"))
    yield from rules.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from rules.not_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))


def _claim_errors(spec: Obj) -> rules.Errors:
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from claim_spec_errors(claim["spec"], f"spec.volumeClaimTemplates[{i}].spec")


def _service_errors(spec: Obj) -> rules.Errors:
    if spec.get("serviceName"):
        yield from rules.label_name("spec.serviceName", spec["serviceName"])


def _warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    spec = new["spec"]
    yield from pod_warnings.workload("spec", "template", named=False)(new, old)
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{i}]" + ("" if old is None else ".Spec")  # upstream's own spelling
        yield from warnings.claim_spec(claim["spec"], path)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield ("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
               "recommended")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ({k: v for k, v in o["spec"].items() if k not in MUTABLE} for o in (new, old))
    return [] if after == before else [rules.forbidden("spec", FROZEN)]


STATEFUL_SET = Kind(
    "StatefulSet", "statefulsets", group="apps", short_names=("sts",), categories=("all",),
    subresources=frozenset({"status", "scale"}), generation=True, validate_name="label",
    default=_default, default_status=_default_status, prepare_create=_prepare_create, prepare_update=_prepare_update,
    validate=_validate, validate_update=_validate_update,
    validate_part=status_validation.STATEFUL_SET,
    warnings=_warnings,
    columns=(
        NAME,
        Column("Ready", lambda o, now: f"{(o.get('status') or {}).get('readyReplicas', 0)}/{o['spec']['replicas']}",
               description="Number of the pod with ready state"),
        AGE,
        *template_columns(),
    ),
)


def StatefulSet(name: str, *, image: str, replicas: int = 1, service: str | None = None,
                storage: str | None = None, mount: str = "/data", labels: Mapping[str, str] | None = None,
                namespace: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a stateful set; `service` (default: its own name) is the headless Service that names it.

    `storage="1Gi"` gives each pod a claim of its own, mounted at `mount`; see `Pod` for `of_container`.
    """
    out = workload("apps/v1", "StatefulSet", name, image, replicas, labels, namespace, of_container)
    out["spec"]["serviceName"] = service or name
    if storage:
        out["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": mount}]
        out["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}}]
    return out
