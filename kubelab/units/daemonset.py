"""DaemonSet: one pod on every node.

Models: pkg/registry/apps/daemonset and pkg/apis/apps/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, labels_text, selector_text, template_columns
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.replication import is_empty
from kubelab.units.template import workload, workload_template_errors

GENERATION = "deprecated.daemonset.template.generation"
"""Counts the versions of the template. It was a field once, and lives on as an annotation."""
STRATEGIES = ("RollingUpdate", "OnDelete")
COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def _default(daemon: Obj) -> None:
    spec = daemon.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    template_defaults(spec.setdefault("template", {}))
    _default_status(daemon)


def _default_status(daemon: Obj) -> None:
    """Show four counts always; a status may be shared, so a new one is made."""
    status = daemon.get("status") or {}
    if any(key not in status for key in COUNTS):
        daemon["status"] = {**dict.fromkeys(COUNTS, 0), **status}


def _prepare_create(daemon: Obj) -> None:
    daemon["status"] = dict.fromkeys(COUNTS, 0)
    _count(daemon, 1)


def _prepare_update(new: Obj, old: Obj) -> None:
    before = (old["metadata"].get("annotations") or {}).get(GENERATION, "1")
    changed = new["spec"]["template"] != old["spec"]["template"]
    _count(new, (int(before) if before.isdigit() else 1) + changed)


def _count(daemon: Obj, generation: int) -> None:
    metadata = daemon["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), GENERATION: str(generation)}


def _validate(daemon: Obj) -> Sequence[FieldError]:
    spec = daemon["spec"]
    return [*_selector_errors(spec.get("selector")),
            *workload_template_errors(spec["template"], spec.get("selector"), "DaemonSet"),
            *rules.not_negative("spec.minReadySeconds", spec.get("minReadySeconds")),
            *_strategy_errors(spec["updateStrategy"]),
            *rules.not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))]


def _selector_errors(selector: Obj | None) -> rules.Errors:
    """Without a selector nothing matches, and that is what is said."""
    yield from rules.label_selector("spec.selector", selector)
    if selector is not None and is_empty(selector):
        yield invalid_value("spec.selector", {}, "empty selector is invalid for daemonset")


def _strategy_errors(strategy: Obj) -> rules.Errors:
    path, rolling = "spec.updateStrategy", strategy.get("rollingUpdate")
    if strategy["type"] == "RollingUpdate":
        yield from _rolling_errors(rolling or {}, f"{path}.rollingUpdate")
    elif strategy["type"] != "OnDelete":
        shown = rules.shown_in_order({"Type": strategy["type"], "RollingUpdate": rolling})
        yield FieldError(path, "FieldValueNotSupported", f"Unsupported value: {shown}: supported values: "
                         + ", ".join(f'"{s}"' for s in STRATEGIES))


def _rolling_errors(rolling: Obj, path: str) -> rules.Errors:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    for rule in (rules.int_or_percent, rules.at_most_100_percent):
        yield from rule(f"{path}.maxUnavailable", unavailable)
        yield from rule(f"{path}.maxSurge", surge)
    has_surge, has_unavailable = rules.int_of(surge) != 0, rules.int_of(unavailable) != 0
    if has_surge and has_unavailable:
        yield invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif not has_surge and not has_unavailable:
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.same_selector("spec.selector", new["spec"].get("selector"), old["spec"].get("selector")))


def _status(key: str) -> Any:
    return lambda o, now: (o.get("status") or {}).get(key, 0)


DAEMON_SET = Kind(
    "DaemonSet", "daemonsets", meta_looks=(1, 0), group="apps", short_names=("ds",), categories=("all",),
    subresources=frozenset({"status"}), generation=True, version_notes=frozenset({GENERATION}),
    default=_default, default_status=_default_status, prepare_create=_prepare_create, prepare_update=_prepare_update,
    validate=_validate, validate_update=_validate_update, update_first=True,
    validate_part=status_validation.DAEMON_SET,
    warnings=pod_warnings.workload("spec", "template", named=False),
    columns=(
        NAME,
        *(Column(name, _status(key), type="integer", path=f"status.{key}") for name, key in (
            ("Desired", "desiredNumberScheduled"), ("Current", "currentNumberScheduled"), ("Ready", "numberReady"),
            ("Up-to-date", "updatedNumberScheduled"), ("Available", "numberAvailable"))),
        Column("Node Selector", lambda o, now: labels_text(o["spec"]["template"]["spec"].get("nodeSelector")),
               path="spec.template.spec.nodeSelector"),
        AGE,
        *template_columns(Column("Selector", lambda o, now: selector_text(o["spec"].get("selector")), priority=1,
                                 path="spec.selector")),
    ),
)


def DaemonSet(name: str, *, image: str, labels: Mapping[str, str] | None = None, namespace: str | None = None,
              **of_container: Any) -> Obj:
    """Write the manifest of a daemon set; see `Pod` for `of_container`."""
    out = workload("apps/v1", "DaemonSet", name, image, 1, labels, namespace, of_container)
    del out["spec"]["replicas"]
    return out
