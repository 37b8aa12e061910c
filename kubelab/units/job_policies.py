"""What the policies of a Job may say: when enough of it has succeeded, and what the failure of a pod means.

Models: validateSuccessPolicy and validatePodFailurePolicy in pkg/apis/batch/validation of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
STATUSES = ("False", "True", "Unknown")
MAX_RULES, MAX_PATTERNS, MAX_EXIT_CODES = 20, 20, 255
MAX_INDEXES_TEXT = 64 * 1024


def success_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a job's success policy; `path` is the policy's."""
    found = spec["successPolicy"].get("rules") or []
    if spec.get("completionMode") != "Indexed":
        shown = {"Rules": [{"SucceededIndexes": r.get("succeededIndexes"), "SucceededCount": r.get("succeededCount")}
                           for r in found]}
        yield rules.invalid_struct(path, shown, "requires indexed completion mode")
        return
    if not found:
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(found) > MAX_RULES:
        yield rules.too_many(f"{path}.rules", len(found), MAX_RULES)
    for i, rule in enumerate(found):
        yield from _success_rule_errors(rule, spec.get("completions") or 0, f"{path}.rules[{i}]")


def _success_rule_errors(rule: Obj, completions: int, path: str) -> rules.Errors:
    count, indexes, limits = rule.get("succeededCount"), rule.get("succeededIndexes"), [
        (completions, "specified completions")]
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    if indexes is not None:
        total, field = 0, f"{path}.succeededIndexes"
        if len(indexes) > MAX_INDEXES_TEXT:
            yield rules.too_long(field, MAX_INDEXES_TEXT)
        try:
            total = sum(last - first + 1 for first, last in intervals(indexes, completions))
        except ValueError as error:
            yield invalid_value(field, indexes, f"error parsing succeededIndexes: {error}")
        limits.append((total, "indexes in the specified succeededIndexes field"))
    if count is not None:
        yield from rules.not_negative(f"{path}.succeededCount", count)
        for limit, what in limits:
            if count > limit:
                yield invalid_value(f"{path}.succeededCount", count,
                                    f"must be less than or equal to {limit} (the number of {what})")


def intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    """Read the first and last index of each part of a text such as 1,3-5. Raises ValueError with upstream's words."""
    before: int | None = None
    for part in text.split(",") if text else ():
        first, last = interval(part, completions)
        if before is not None and before >= first:
            raise ValueError(f"non-increasing order, previous: {before}, current: {first}")
        yield first, last
        before = last


def interval(part: str, completions: int) -> tuple[int, int]:
    """Read an index, or two with a hyphen between them. Raises ValueError with upstream's words."""
    ends = part.split("-")
    if len(ends) > 2:
        raise ValueError(f'the fragment "{part}" violates the requirement that an index interval can have at most '
                         "two parts separated by '-'")
    numbers = []
    for end in ends:
        if not end.removeprefix("+").isdecimal():
            raise ValueError(f'cannot convert string to integer for index: "{end}"')
        if int(end) >= completions:
            raise ValueError(f'too large index: "{end}"')
        numbers.append(int(end))
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def failure_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a job's pod failure policy; `path` is the policy's."""
    found = spec["podFailurePolicy"].get("rules") or ()
    if len(found) > MAX_RULES:
        yield rules.too_many(f"{path}.rules", len(found), MAX_RULES)
    pod = spec["template"].get("spec") or {}
    containers = {c.get("name") for key in ("containers", "initContainers") for c in pod.get(key) or ()}
    for i, rule in enumerate(found):
        field, action = f"{path}.rules[{i}]", rule.get("action", "")
        if not action:
            yield required(f"{field}.action", _choices(ACTIONS))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid_value(f"{field}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in ACTIONS:
            yield rules.unsupported(f"{field}.action", action, ACTIONS)
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            yield from _exit_code_errors(codes, containers, f"{field}.onExitCodes")
        yield from _pattern_errors(patterns, f"{field}.onPodConditions")
        if codes is not None and patterns:
            yield rules.invalid_somehow(field, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not patterns:
            yield rules.invalid_somehow(field, "specifying one of OnExitCodes and OnPodConditions is required")


def _choices(values: Sequence[str]) -> str:
    return "valid values: [" + " ".join(f'"{value}"' for value in values) + "]"


def _pattern_errors(patterns: Sequence[Obj], path: str) -> rules.Errors:
    if len(patterns) > MAX_PATTERNS:
        yield rules.too_many(path, len(patterns), MAX_PATTERNS)
    for i, pattern in enumerate(patterns):
        yield from rules.qualified_name(f"{path}[{i}].type", pattern.get("type", ""))
        if not pattern.get("status"):
            yield required(f"{path}[{i}].status", _choices(STATUSES))
        elif pattern["status"] not in STATUSES:
            yield rules.unsupported(f"{path}[{i}].status", pattern["status"], STATUSES)


def _exit_code_errors(codes: Obj, containers: set[str | None], path: str) -> rules.Errors:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    if not operator:
        yield required(f"{path}.operator", _choices(("In", "NotIn")))
    elif operator not in ("In", "NotIn"):
        yield rules.unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        yield invalid_value(f"{path}.containerName", name,
                            "must be one of the container or initContainer names in the pod template")
    if not values:
        yield invalid_value(f"{path}.values", codes.get("values"), "at least one value is required")
    elif len(values) > MAX_EXIT_CODES:
        yield rules.too_many(f"{path}.values", len(values), MAX_EXIT_CODES)
    yield from _value_errors(operator, values, f"{path}.values")


def _value_errors(operator: str, values: Sequence[int], path: str) -> rules.Errors:
    seen: set[int] = set()
    for i, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid_value(f"{path}[{i}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{path}[{i}]", value)
        seen.add(value)
    if list(values) != sorted(values):
        yield invalid_value(path, values, "must be ordered")

