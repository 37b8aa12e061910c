"""CEL rules of custom resources: x-kubernetes-validations, compiled when a CRD comes and asked on every write.

    rule "self.replicas <= self.max" at spec ─► compiled once ─► errors(schema, new, old): spec: Invalid value: ...

Invariant: a rule that names oldSelf is asked only when there is an old value that is certainly the same thing.
Models:    apiextensions-apiserver/pkg/apiserver/schema/cel
Left out:  times in list elements; the budget of an evaluation (what an expression may cost is bounded beforehand)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from kubelab.machinery.cel import CelError, Program, compiled
from kubelab.machinery.cel_ast import tree
from kubelab.machinery.cel_cost import UNBOUNDED, estimate
from kubelab.machinery.cel_types import BOTH_WAYS, DYN, MAX_REQUEST, Shape, Typed, escaped, shape_of
from kubelab.machinery.errors import FieldError, forbidden_field, invalid_value, required, shown
from kubelab.machinery.openapi_check import MISSING, check, map_key, old_items, twins
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import child_of, children

RULES = "x-kubernetes-validations"
Errors = Iterator[FieldError]
_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
             "FieldValueNotSupported")
_NOT_ASKED = ("some validation rules were not checked because the object was invalid; correct the existing errors to "
              "complete validation")
_TYPES = {"string": "string", "integer": "int", "boolean": "bool", "number": "double"}
_QUOTED = re.compile(r"\['((?:\\.|[^'\\])*)'\]")
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_NAMED = re.compile(r"\b(?:self|oldSelf)((?:\.[A-Za-z_]\w*(?![\w(]))*)")
_TIMES = {"date-time": "timestamp({})", "date": "timestamp({} + 'T00:00:00Z')", "duration": "duration({})"}
# Of each expression of a rule: what it comes to, and how its mistakes and its cost are told.
_ASKED = {"rule": ("bool", "", "cel expression must evaluate to a bool", "estimated rule cost"),
          "messageExpression": ("string", "messageExpression ", "messageExpression must evaluate to a string",
                                "estimated messageExpression cost")}
PER_RULE, PER_SCHEMA, SHOWN = 10_000_000, 100_000_000, 4


def has_rules(schema: Obj) -> bool:
    return bool(schema.get(RULES)) or any(has_rules(child) for _, _, child in children(schema))


def validate(schema: Obj, new: Obj, old: Obj | None, also: Sequence[FieldError] = (), *, asks: bool) -> Errors:
    """Yield all that is wrong with a custom resource: by its schema, then by its rules (when it has some: `asks`).

    `also` is what was found wrong elsewhere, which keeps rules from being asked as well.
    """
    found = [*check(schema, new, MISSING if old is None else old), *also]
    if old is None or not any(twins(schema, old)):
        found += twins(schema, new)
    yield from found
    if asks and any(error.reason in _BLOCKING for error in found):
        yield invalid_value("<nil>", None, _NOT_ASKED)
    elif asks:
        yield from _ask(schema, new, MISSING if old is None else old, "")


# ── a CRD comes ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Where:
    """Where in a schema rules stand."""

    resource: bool = False  # at what has a kind and a name of its own
    uncorrelated: str = ""  # the part below which nobody can tell what a value was before
    repeats: int | None = 1  # how often the value may be there; None: as often as a request has room for


Costs = list[tuple[str, int]]
"""(field, what the expression there may cost in all)."""


def compile_errors(schema: Obj, path: str, at: Where, costs: Costs) -> Errors:
    """Yield what keeps the rules at one part of a schema from being asked; add to `costs` what they may cost."""
    shape = shape_of(schema, resource=at.resource) or DYN
    types = cache(lambda: Typed({"self": shape, "oldSelf": shape}))  # made for the first rule, and once
    often = MAX_REQUEST // (shape.bytes + 1) if at.repeats is None else at.repeats
    for i, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{i}]"
        found = _compiled(f"{where}.rule", rule, "rule", shape, types, often, costs)
        yield from found
        compiles = not any(error.reason == "FieldValueInvalid" for error in found)
        if compiles and rule.get("messageExpression"):
            yield from _compiled(f"{where}.messageExpression", rule, "messageExpression", shape, types, 1, costs)
        if compiles and _is_transition(rule):
            if at.uncorrelated:
                yield invalid_value(f"{where}.rule", rule["rule"], "oldSelf cannot be used on the uncorrelatable "
                                    f"portion of the schema within {at.uncorrelated}")
        elif rule.get("optionalOldSelf") is not None:
            yield invalid_value(f"{where}.optionalOldSelf", rule["optionalOldSelf"],
                                "may not be set if oldSelf is not used in rule")


def _compiled(field: str, rule: Obj, which: str, shape: Shape, types: Callable[[], Typed], often: int,
              costs: Costs) -> list[FieldError]:
    wanted, lead, otherwise, costly = _ASKED[which]
    try:
        program = types().compile(_with_optional(rule, rule[which]))
    except CelError as error:
        return [_not_a_rule(field, rule, f"{lead}compilation failed: {error}")]
    if program.returns != wanted:
        return [_not_a_rule(field, rule, otherwise)]
    cost = min(estimate(tree(program.checked()), {"self": shape, "oldSelf": shape}) * often, UNBOUNDED)
    costs.append((field, cost))
    return [forbidden_field(field, over_budget(costly, cost, PER_RULE))] if cost > PER_RULE else []


def _with_optional(rule: Obj, expression: str) -> str:
    """Write what a rule may have as its old self, which may be nothing."""
    return re.sub(r"\boldSelf\b", "optional.of(oldSelf)", expression) if rule.get("optionalOldSelf") else expression


def over_budget(what: str, cost: int, limit: int) -> str:
    """Say by how much a cost is too high."""
    factor = cost / limit
    text = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (f"{what} exceeds budget by factor of {text} (try simplifying the rule, or adding maxItems, maxProperties, "
            "and maxLength where arrays, maps, and strings are declared)")


def total_errors(path: str, costs: Costs) -> Errors:
    """Yield what is wrong when all rules of a schema together cost too much."""
    total = min(sum(cost for _, cost in costs), UNBOUNDED)
    if total > PER_SCHEMA:
        most = sorted((one for one in costs if one[1]), key=lambda one: -one[1])[:SHOWN]
        yield from (forbidden_field(field, "contributed to estimated rule cost total exceeding cost limit for entire "
                                    "OpenAPIv3 schema") for field, _ in most)
        yield forbidden_field(path, over_budget("x-kubernetes-validations estimated rule cost total for entire "
                                                "OpenAPIv3 schema", total, PER_SCHEMA))


def _not_a_rule(field: str, rule: Obj, why: str) -> FieldError:
    """Tell a mistake with the rule as Go prints the struct."""
    told = {name: rule.get(name[0].lower() + name[1:], None if name in ("Reason", "OptionalOldSelf") else "")
            for name in ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")}
    text = orjson.dumps(told).replace(b">", b"\\u003e").replace(b"<", b"\\u003c").replace(b"&", b"\\u0026")
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {text.decode()}: {why}")


def _timed(schema: Obj, expression: str) -> str:
    """Read the fields that hold times as times where an expression names them; our CEL has no such values in maps."""
    bare = _STRINGS.sub(lambda text: " " * len(text[0]), expression)
    for chain in reversed(list(_NAMED.finditer(bare))):
        part: Obj | None = schema
        for name in chain[1].split(".")[1:]:
            fields = {escaped(field): child for field, child in ((part or {}).get("properties") or {}).items()}
            part = fields.get(name)
        read = _TIMES.get((part or {}).get("format", ""))
        if read and not bare[:chain.start()].rstrip().endswith("has("):
            text = expression[chain.start():chain.end()]
            expression = expression[:chain.start()] + read.format(text) + expression[chain.end():]
    return expression


def _program(schema: Obj, rule: Obj, expression: str) -> Program:
    expression = _timed(schema, expression)
    plain = not schema.get("format") and not schema.get("nullable")
    type_ = _TYPES.get(schema.get("type", ""), "dyn") if plain else "dyn"
    if rule.get("optionalOldSelf"):
        expression = re.sub(r"\boldSelf\b", "(hasOldSelf ? optional.of(oldSelf) : optional.none())", expression)
        return compiled(expression, ("self", "oldSelf", "hasOldSelf"), (type_, "dyn", "bool"))
    if _is_transition(rule) and "oldSelf" in expression:
        return compiled(expression, ("self", "oldSelf"), (type_, type_))
    return compiled(expression, ("self",), (type_,))


def _is_transition(rule: Obj) -> bool:
    return re.search(r"\boldSelf\b", rule["rule"]) is not None


# ── an object is written ─────────────────────────────────────────────────────────────────────────────────────


def rule_errors(schema: Obj, value: Any) -> Errors:
    """Yield the refusals of the rules of a schema, as for a value that is new."""
    yield from _ask(schema, value, MISSING, "")


def _ask(schema: Obj, new: Any, old: Any, path: str) -> Errors:
    if new is None:
        return
    for rule in schema.get(RULES) or ():
        yield from _asked(schema, rule, new, old, path)
    lead = f"{path}." if path else ""
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        for name, part in new.items():
            child = child_of(schema, name)
            if child is not None:
                yield from _ask(child, part, before.get(name, MISSING), lead + name)
    elif isinstance(new, list) and isinstance(schema.get("items"), dict):
        find = old_items(schema, old)
        for i, item in enumerate(new):
            yield from _ask(schema["items"], item, find(item), f"{path}[{i}]")


def _asked(schema: Obj, rule: Obj, new: Any, old: Any, path: str) -> Errors:
    transition, optional = _is_transition(rule), bool(rule.get("optionalOldSelf"))
    if (transition and old is MISSING and not optional) or (not transition and old is not MISSING and old == new):
        return
    data = {"self": _value(schema, new)}
    if optional:
        data |= {"oldSelf": None if old is MISSING else _value(schema, old), "hasOldSelf": old is not MISSING}
    elif transition:
        data["oldSelf"] = _value(schema, old)
    type_ = schema.get("type", "")
    try:
        if _program(schema, rule, rule["rule"]).eval(data) is True:
            return
    except CelError as error:
        text = f"{error} evaluating rule: {rule.get('message') or rule['rule']}"
        if str(error) == "no such overload":
            text = ("'no such overload': call arguments did not match a supported operator, function or macro "
                    f"signature for rule: {rule['rule']}")
        yield invalid_value(path, type_, text)
        return
    shown_ = "" if type_ in ("object", "array") else f": {shown(new)}"
    yield _refusal(rule, path + _QUOTED.sub(r"[\1]", rule.get("fieldPath", "")), shown_, _message(schema, rule, data))


def _message(schema: Obj, rule: Obj, data: dict[str, Any]) -> str:
    default = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
    if not rule.get("messageExpression"):
        return default
    try:
        told = _program(schema, rule, rule["messageExpression"]).eval(data)
    except CelError:
        return default
    return told if isinstance(told, str) and told.strip() and "\n" not in told else default


def _refusal(rule: Obj, path: str, value: str, message: str) -> FieldError:
    path = path.removeprefix(".")
    match rule.get("reason"):
        case "FieldValueForbidden":
            return forbidden_field(path, message)
        case "FieldValueRequired":
            return required(path, message)
        case "FieldValueDuplicate":
            return FieldError(path, "FieldValueDuplicate", f"Duplicate value{value}")
    return FieldError(path, "FieldValueInvalid", f"Invalid value{value}: {message}")


def _value(schema: Obj, value: Any) -> Any:
    """Return a value as CEL is to see it: fields by their escaped names, numbers as doubles."""
    match value:
        case dict() if "properties" in schema:
            named = {name: value[name] for name in BOTH_WAYS & value.keys()}
            return named | {escaped(name): _value(child_of(schema, name) or {}, part) for name, part in value.items()
                            if part is not None}  # a null is as good as no field
        case dict():
            return {name: _value(child_of(schema, name) or {}, part) for name, part in value.items()}
        case list():
            items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
            if schema.get("x-kubernetes-list-type") == "map":
                value = sorted(value, key=lambda item: orjson.dumps(map_key(schema, item)))
            return [_value(items or {}, item) for item in value]
        case int() if schema.get("type") == "number" and not isinstance(value, bool):
            return float(value)
    return value
