"""Deployment: let a new version of a pod replace the old one bit by bit.

Models: pkg/registry/apps/deployment and pkg/apis/apps/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, selector_text, template_columns
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.replication import selector_errors
from kubelab.units.template import workload, workload_template_errors

STRATEGIES = ("Recreate", "RollingUpdate")


def _default(deployment: Obj) -> None:
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    template_defaults(spec.setdefault("template", {}))
    deployment.setdefault("status", {})


def _prepare_create(deployment: Obj) -> None:
    deployment["status"] = {}


def _validate(deployment: Obj) -> Sequence[FieldError]:
    spec = deployment["spec"]
    return [*rules.not_negative("spec.replicas", spec.get("replicas")), *selector_errors(spec),
            *workload_template_errors(spec["template"], spec.get("selector")),
            *_strategy_errors(spec.get("strategy") or {}), *_limit_errors(spec)]


def _strategy_errors(strategy: Obj) -> rules.Errors:
    kind, rolling, path = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.strategy"
    if kind == "Recreate":
        if rolling is not None:
            yield rules.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        yield from rolling_errors(rolling or {}, f"{path}.rollingUpdate")
    else:
        shown = {"Type": kind, "RollingUpdate": rolling}
        names = ", ".join(f'"{s}"' for s in STRATEGIES)
        yield FieldError(path, "FieldValueNotSupported",
                         f"Unsupported value: {rules.shown_in_order(shown)}: supported values: {names}")


def rolling_errors(rolling: Obj, path: str) -> rules.Errors:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    yield from rules.int_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from rules.int_or_percent(f"{path}.maxSurge", surge)
    if rules.int_of(surge) == 0 and rules.int_of(unavailable) == 0:
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from rules.at_most_100_percent(f"{path}.maxUnavailable", unavailable)


def _limit_errors(spec: Obj) -> rules.Errors:
    yield from rules.not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from rules.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        yield from rules.not_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= spec.get("minReadySeconds", 0):
            yield invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.same_selector("spec.selector", new["spec"].get("selector"), old["spec"].get("selector")))


def _status(key: str) -> Any:
    return lambda o, now: (o.get("status") or {}).get(key, 0)


DEPLOYMENT = Kind(
    "Deployment", "deployments", meta_looks=(1, 0), group="apps", short_names=("deploy",), categories=("all",),
    subresources=frozenset({"status", "scale"}), generation=True,
    counted_metadata="annotations",  # they travel to its ReplicaSets
    default=_default, prepare_create=_prepare_create, validate=_validate, validate_update=_validate_update,
    validate_part=status_validation.DEPLOYMENT,
    warnings=pod_warnings.workload("spec", "template"),
    columns=(
        NAME,
        Column("Ready", lambda o, now: f"{(o.get('status') or {}).get('readyReplicas', 0)}/{o['spec']['replicas']}",
               description="Number of the pod with ready state"),
        Column("Up-to-date", _status("updatedReplicas"), path="status.updatedReplicas"),
        Column("Available", _status("availableReplicas"), path="status.availableReplicas"),
        AGE,
        *template_columns(Column("Selector", lambda o, now: selector_text(o["spec"].get("selector")), priority=1,
                                 path="spec.selector")),
    ),
)


def Deployment(name: str, *, image: str, replicas: int = 1, labels: Mapping[str, str] | None = None,
               namespace: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a deployment with one container.

    `of_container` is what `container` takes: port, command, args, env, resources, readiness.
    """
    return workload("apps/v1", "Deployment", name, image, replicas, labels, namespace, of_container)
