"""What a Job may say, and what of it may change.

Models: pkg/apis/batch/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kubelab.machinery import names, selectors
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.template import matches, template_errors

MODES = ("NonIndexed", "Indexed")
ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
MAX_PARALLEL_INDEXED = 100_000
MAX_MANAGER = 63
MAX_EXIT_CODES, MAX_RULES = 255, 20
COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
          "backoffLimitPerIndex", "maxFailedIndexes")
IMMUTABLE = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
WHILE_SUSPENDED = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def errors(job: Obj, generated: Mapping[str, str]) -> rules.Errors:
    """What is wrong with a job; `generated` are the labels that the server gave it, if it did."""
    spec, name = job["spec"], job["metadata"].get("name", "")
    if generated:
        yield from _generated_errors(spec, generated)
    yield from spec_errors(spec, "spec")
    yield from _selector_errors(spec)
    if spec["completionMode"] == "Indexed" and (spec.get("completions") or 0) > 0:
        last = f"{name}-{spec['completions'] - 1}"
        if names.dns1123_label_errors(last):
            yield invalid_value("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")


def _generated_errors(spec: Obj, generated: Mapping[str, str]) -> rules.Errors:
    labels, path = spec["template"]["metadata"].get("labels") or {}, "spec.template.metadata.labels"
    for key, value in generated.items():
        if key not in labels:
            yield required(f"{path}[{key}]", f"must be '{value}'")
        elif labels[key] != value:
            yield invalid_value(f"{path}[{key}]", labels, f"must be '{value}'")
    selector = spec.get("selector")
    if selector and not list(rules.label_selector("", selector)) \
            and not selectors.from_label_selector(selector).matches(dict(generated)):
        yield invalid_value("spec.selector", selector, "`selector` not auto-generated")


def _selector_errors(spec: Obj) -> rules.Errors:
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    wrong = list(rules.label_selector("spec.selector", selector))
    yield from wrong
    labels = spec["template"]["metadata"].get("labels")
    if not wrong and not matches(selector, labels or {}):
        yield invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def spec_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a job's spec, in a job or in a CronJob's template."""
    for key in COUNTS:
        yield from rules.not_negative(f"{path}.{key}", spec.get(key))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    mode = spec.get("completionMode")
    if mode is not None and mode not in MODES:
        yield rules.unsupported(f"{path}.completionMode", mode, MODES)
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        if (spec.get("parallelism") or 0) > MAX_PARALLEL_INDEXED:
            yield invalid_value(f"{path}.parallelism", spec["parallelism"], "must be less than or equal to "
                                f"{MAX_PARALLEL_INDEXED} when completion mode is Indexed")
    else:
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                yield invalid_value(f"{path}.{key}", spec[key], "requires indexed completion mode")
    yield from _success_policy_errors(spec, f"{path}.successPolicy")
    yield from _failure_policy_errors(spec, f"{path}.podFailurePolicy")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
        if replacement not in allowed:
            yield rules.unsupported(f"{path}.podReplacementPolicy", replacement, allowed)
    if spec.get("managedBy") is not None:
        yield from rules.domain_path(f"{path}.managedBy", spec["managedBy"])
        if len(spec["managedBy"]) > MAX_MANAGER:
            yield rules.too_long(f"{path}.managedBy", MAX_MANAGER)
    yield from _template_errors(spec, f"{path}.template")


def _success_policy_errors(spec: Obj, path: str) -> rules.Errors:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    found = policy.get("rules") or []
    if spec.get("completionMode") != "Indexed":
        shown = {"Rules": [{"SucceededIndexes": r.get("succeededIndexes"), "SucceededCount": r.get("succeededCount")}
                           for r in found]}
        yield rules.invalid_struct(path, shown, "requires indexed completion mode")
        return
    if not found:
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    elif len(found) > MAX_RULES:
        yield rules.too_many(f"{path}.rules", len(found), MAX_RULES)
    for i, rule in enumerate(found):
        yield from _success_rule_errors(rule, spec.get("completions") or 0, f"{path}.rules[{i}]")


def _success_rule_errors(rule: Obj, completions: int, path: str) -> rules.Errors:
    count, indexes, total = rule.get("succeededCount"), rule.get("succeededIndexes"), 0
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    if indexes is not None:
        try:
            total = _count_indexes(indexes, completions)
        except ValueError as error:
            yield invalid_value(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {error}")
    if count is not None:
        yield from rules.not_negative(f"{path}.succeededCount", count)
        for limit, what in ((completions, "specified completions"),
                            (total if indexes is not None else completions,
                             "indexes in the specified succeededIndexes field")):
            if count > limit:
                yield invalid_value(f"{path}.succeededCount", count,
                                    f"must be less than or equal to {limit} (the number of {what})")


def _count_indexes(text: str, completions: int) -> int:
    """Count the indexes in a text such as 1,3-5. Raises ValueError with upstream's words."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            raise ValueError(f'the fragment "{part}" violates the requirement that an index interval can have at most '
                             "two parts separated by '-'")
        numbers = []
        for end in ends:
            if not end.isdigit():
                raise ValueError(f'cannot convert string to integer for index: "{end}"')
            if int(end) >= completions:
                raise ValueError(f'too large index: "{end}"')
            numbers.append(int(end))
        if numbers[0] <= last or (len(numbers) == 2 and numbers[0] >= numbers[1]):
            raise ValueError(f"non-increasing order, previous: {last}, current: {numbers[0]}" if numbers[0] <= last else
                             f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
        total, last = total + numbers[-1] - numbers[0] + 1, numbers[-1]
    return total


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


def _failure_policy_errors(spec: Obj, path: str) -> rules.Errors:
    found = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    if len(found) > MAX_RULES:
        yield rules.too_many(f"{path}.rules", len(found), MAX_RULES)
    pod = spec["template"].get("spec") or {}
    containers = {c.get("name") for key in ("containers", "initContainers") for c in pod.get(key) or ()}
    for i, rule in enumerate(found):
        field, action = f"{path}.rules[{i}]", rule.get("action", "")
        if not action:
            yield required(f"{field}.action", "valid values: [" + " ".join(f'"{a}"' for a in ACTIONS) + "]")
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid_value(f"{field}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in ACTIONS:
            yield rules.unsupported(f"{field}.action", action, ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None and conditions:
            yield _of_rule(field, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            yield _of_rule(field, "specifying one of OnExitCodes and OnPodConditions is required")
        if codes is not None:
            yield from _exit_code_errors(codes, containers, f"{field}.onExitCodes")
        for j, pattern in enumerate(conditions):
            yield from rules.qualified_name(f"{field}.onPodConditions[{j}].type", pattern.get("type", ""))
            if pattern.get("status") not in ("False", "True", "Unknown"):
                yield rules.unsupported(f"{field}.onPodConditions[{j}].status", pattern.get("status", ""),
                                        ("False", "True", "Unknown"))


def _of_rule(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {detail}")  # upstream shows no value here


def _exit_code_errors(codes: Obj, containers: set[str | None], path: str) -> rules.Errors:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    yield from rules.one_of(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        yield invalid_value(f"{path}.containerName", name,
                            "must be one of the container or initContainer names in the pod template")
    if not values:
        yield invalid_value(f"{path}.values", values, "at least one value is required")
    elif len(values) > MAX_EXIT_CODES:
        yield rules.too_many(f"{path}.values", len(values), MAX_EXIT_CODES)
    seen: set[int] = set()
    for i, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid_value(f"{path}.values[{i}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{path}.values[{i}]", value)
        seen.add(value)
    if values != sorted(values):
        yield invalid_value(f"{path}.values", values, "must be ordered")


def update_errors(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = new["spec"], old["spec"]
    found = [*rules.immutable("spec.completions", after.get("completions"), before.get("completions"))]
    if before.get("completionMode") == "Indexed" and after.get("completions") == after.get("parallelism"):
        found = []  # an elastic job grows and shrinks with its parallelism
    found += rules.immutable("spec.selector", after.get("selector"), before.get("selector"))
    found += _template_changes(new, old)
    for key in IMMUTABLE:
        found += rules.immutable(f"spec.{key}", after.get(key), before.get(key))
    return found


def _template_changes(new: Obj, old: Obj) -> rules.Errors:
    """A job that has not begun may still be told where its pods go; everything else is fixed."""
    after, before = new["spec"]["template"], old["spec"]["template"]
    if old["spec"].get("suspend") and not (old.get("status") or {}).get("startTime"):
        after, before = ({"spec": {k: v for k, v in t["spec"].items() if k not in WHILE_SUSPENDED}}
                         for t in (after, before))
        yield from rules.immutable("spec.template.spec", after["spec"], before["spec"])
    else:
        yield from rules.immutable("spec.template", after, before)
