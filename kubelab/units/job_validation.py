"""What a Job may say, and what of it may change.

    errors        at creation: the labels and the selector that the server gave it, its spec, the names of its pods
    update_errors all of that again, then what may not change; a suspended job may still be told where its pods go
                  and how much they need

Models: pkg/apis/batch/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.machinery import names, selectors
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import go_shapes, rules
from kubelab.units.job_policies import failure_errors, success_errors
from kubelab.units.template import template_errors, unmatched

MODES = ("NonIndexed", "Indexed")
MAX_INDEXES = 100_000  # at a time, and that fail
MAX_OF_MANY = 10_000  # the same, where there are more completions than that
MAX_MANAGER = 63
COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
          "backoffLimitPerIndex", "maxFailedIndexes")
IMMUTABLE = {"completionMode": None, "podFailurePolicy": go_shapes.FAILURE_POLICY, "backoffLimitPerIndex": None,
             "managedBy": None, "successPolicy": go_shapes.SUCCESS_POLICY}
WHILE_SUSPENDED = ("nodeSelector", "tolerations", "schedulingGates")


def errors(job: Obj, generated: Mapping[str, str]) -> rules.Errors:
    """What is wrong with a job; `generated` are the labels that the server gave it, if it did."""
    spec, name = job["spec"], job["metadata"].get("name", "")
    if generated and spec.get("selector") is not None:
        yield from _generated_errors(spec, generated)
    yield from _whole_spec_errors(spec)
    if spec["completionMode"] == "Indexed" and (spec.get("completions") or 0) > 0:
        last = f"{name}-{spec['completions'] - 1}"
        if names.dns1123_label_errors(last):
            yield invalid_value("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")


def _generated_errors(spec: Obj, generated: Mapping[str, str]) -> rules.Errors:
    labels, path, selector = spec["template"]["metadata"].get("labels") or {}, "spec.template.metadata.labels", \
        spec["selector"]
    for key, value in generated.items():
        if key not in labels:
            yield required(f"{path}[{key}]", f"must be '{value}'")
        elif labels[key] != value:
            yield invalid_value(f"{path}[{key}]", labels, f"must be '{value}'")
    if not list(rules.label_selector("", selector)) \
            and not selectors.from_label_selector(selector).matches(dict(generated)):
        yield rules.invalid_selector("spec.selector", selector, "`selector` not auto-generated")


def _whole_spec_errors(spec: Obj) -> rules.Errors:
    yield from spec_errors(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    wrong = list(rules.label_selector("spec.selector", selector))
    yield from wrong
    if not wrong:
        yield from unmatched(selector, spec["template"])


def spec_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a job's spec, in a job or in a CronJob's template."""
    for key in COUNTS:
        yield from rules.not_negative(f"{path}.{key}", spec.get(key))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        yield from rules.domain_path(f"{path}.managedBy", spec["managedBy"])
        if len(spec["managedBy"]) > MAX_MANAGER:
            yield rules.too_long(f"{path}.managedBy", MAX_MANAGER)
    yield from _mode_errors(spec, path)
    if spec.get("podFailurePolicy") is not None:
        yield from failure_errors(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        yield from success_errors(spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        if replacement not in allowed:
            yield rules.unsupported(f"{path}.podReplacementPolicy", replacement, allowed)
    yield from _template_errors(spec, f"{path}.template")


def _mode_errors(spec: Obj, path: str) -> rules.Errors:
    mode = spec.get("completionMode")
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        yield from _index_errors(spec, path)
    elif mode is not None and mode not in MODES:
        yield rules.unsupported(f"{path}.completionMode", mode, MODES)
    else:
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                yield invalid_value(f"{path}.{key}", spec[key], "requires indexed completion mode")


def _index_errors(spec: Obj, path: str) -> rules.Errors:
    """The status names every index that is done or has failed, so they cannot be any number."""
    at_a_time, all_, failing = (spec.get(key) for key in ("parallelism", "completions", "maxFailedIndexes"))
    at_most = "must be less than or equal to"
    many = f"{at_most} {MAX_OF_MANY} when completions are above {MAX_INDEXES} and used with backoff limit per index"
    if (at_a_time or 0) > MAX_INDEXES:
        yield invalid_value(f"{path}.parallelism", at_a_time,
                            f"{at_most} {MAX_INDEXES} when completion mode is Indexed")
    if all_ is not None and failing is not None and failing > all_:
        yield invalid_value(f"{path}.maxFailedIndexes", failing, f"{at_most} completions")
    if (failing or 0) > MAX_INDEXES:
        yield invalid_value(f"{path}.maxFailedIndexes", failing, f"{at_most} {MAX_INDEXES}")
    if (all_ or 0) > MAX_INDEXES and spec.get("backoffLimitPerIndex") is not None:
        if failing is None:
            yield required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {MAX_INDEXES}")
        if (at_a_time or 0) > MAX_OF_MANY:
            yield invalid_value(f"{path}.parallelism", at_a_time, many)
        if (failing or 0) > MAX_OF_MANY:
            yield invalid_value(f"{path}.maxFailedIndexes", failing, many)


def _template_errors(spec: Obj, path: str) -> rules.Errors:
    template = spec["template"]
    yield from template_errors(path, template)
    policy, field = template["spec"].get("restartPolicy"), f"{path}.spec.restartPolicy"
    if policy == "Always":  # said or left out: a job has to choose
        yield required(field, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield rules.unsupported(field, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        yield invalid_value(field, policy, 'only "Never" is supported when podFailurePolicy is specified')


def update_errors(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = new["spec"], old["spec"]
    found = [*_whole_spec_errors(after)]  # what `errors` has said already: upstream says it twice
    found += _completion_changes(after, before)
    found += rules.same_selector("spec.selector", after.get("selector"), before.get("selector"))
    found += _template_changes(new, old)
    for key, shape in IMMUTABLE.items():
        new_value, field = after.get(key), f"spec.{key}"
        if shape is None or new_value is None:
            found += rules.immutable(field, new_value, before.get(key))
        elif new_value != before.get(key):
            found.append(rules.invalid_struct(field, go_shapes.printed(shape, new_value), rules.IMMUTABLE))
    return found


def _completion_changes(after: Obj, before: Obj) -> rules.Errors:
    wanted = after.get("completions")
    if after.get("completionMode") != "Indexed":
        yield from rules.immutable("spec.completions", wanted, before.get("completions"))
    elif wanted not in (None, before.get("completions"), after.get("parallelism")):  # an elastic job
        yield invalid_value("spec.completions", wanted, "can only be modified in tandem with spec.parallelism")


def _template_changes(new: Obj, old: Obj) -> rules.Errors:
    """While a job has no pods, the template may change in what tells where they go and what they need."""
    after, before = new["spec"]["template"], old["spec"]["template"]
    if not old["spec"].get("suspend") or (old.get("status") or {}).get("active"):
        if after != before:
            yield rules.invalid_struct("spec.template", go_shapes.pod_template(after), rules.IMMUTABLE)
        return
    expected = {**before["spec"], **_affinity_allowed(after["spec"], before["spec"])}
    for key in WHILE_SUSPENDED:
        expected[key] = after["spec"].get(key)
    for key in ("containers", "initContainers"):
        expected[key] = _with_resources(after["spec"].get(key) or (), before["spec"].get(key) or ())
    if _without_nothing(expected) != _without_nothing(after["spec"]):
        yield rules.invalid_struct("spec.template.spec", go_shapes.pod_spec(after["spec"]), rules.IMMUTABLE)


def _affinity_allowed(after: Obj, before: Obj) -> Obj:
    """Return the old affinity with the new one's part about nodes."""
    kept = {key: value for key, value in (before.get("affinity") or {}).items() if key != "nodeAffinity"}
    node = (after.get("affinity") or {}).get("nodeAffinity")
    if node is not None:
        kept["nodeAffinity"] = node
    return {"affinity": kept if kept or after.get("affinity") is not None else None}


def _with_resources(after: Sequence[Obj], before: Sequence[Obj]) -> list[Obj]:
    """Return the old containers with the new ones' resources, where they are still the same containers."""
    if [c.get("name") for c in after] != [c.get("name") for c in before]:
        return list(before)
    return [{**was, "resources": now.get("resources")} for now, was in zip(after, before, strict=True)]


def _without_nothing(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if value not in (None, [])}
