"""CEL rules of custom resources: x-kubernetes-validations, compiled when a CRD comes and asked on every write.

    rule "self.replicas <= self.max" at spec ─► compiled once ─► errors(schema, new, old): spec: Invalid value: ...

Invariant: a rule that names oldSelf is asked only when there is an old value that is certainly the same thing.
Models:    apiextensions-apiserver/pkg/apiserver/schema/cel
Left out:  types of what `self` is beyond scalars (fields are checked against the schema), times in list elements,
           cost limits
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from kubelab.machinery.cel import CelError, Program, compiled
from kubelab.machinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required
from kubelab.machinery.openapi_check import MISSING, check, map_key, old_items, twins
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import child_of, children

RULES = "x-kubernetes-validations"
Errors = Iterator[FieldError]
_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
             "FieldValueNotSupported")
_NOT_ASKED = ("some validation rules were not checked because the object was invalid; correct the existing errors to "
              "complete validation")
_KEYWORDS = frozenset(("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
                       "if", "import", "let", "loop", "package", "namespace", "return"))
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_TYPES = {"string": "string", "integer": "int", "boolean": "bool", "number": "double"}
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_NAMED = re.compile(r"\b(?:self|oldSelf)((?:\.[A-Za-z_]\w*(?![\w(]))*)")
_TIMES = {"date-time": "timestamp({})", "date": "timestamp({} + 'T00:00:00Z')", "duration": "duration({})"}
_CHAIN = re.compile(r"\b(?:self|oldSelf)((?:\.[A-Za-z_]\w*(?![\w(]))+)")
TYPE_META = ("apiVersion", "kind", "metadata")


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


def compile_errors(schema: Obj, path: str, uncorrelated: str) -> Errors:
    """Yield what keeps the rules at one schema from being asked; `uncorrelated` is where old values cannot be found."""
    for i, rule in enumerate(schema.get(RULES) or ()):
        where = f"{path}.{RULES}[{i}]"
        for field, wanted in (("rule", "bool"), ("messageExpression", "string")):
            why = _wrong(schema, rule, field, wanted)
            if why:
                yield FieldError(f"{where}.{field}", "FieldValueInvalid", f"Invalid value: {_shown(rule)}: {why}")
        if _is_transition(rule) and uncorrelated:
            yield invalid_value(f"{where}.rule", rule["rule"], "oldSelf cannot be used on the uncorrelatable portion "
                                f"of the schema within {uncorrelated}")
        elif not _is_transition(rule) and rule.get("optionalOldSelf") is not None:
            yield invalid_value(f"{where}.optionalOldSelf", rule["optionalOldSelf"],
                                "may not be set if oldSelf is not used in rule")


def _shown(rule: Obj) -> str:
    """Write a rule as Go prints the struct."""
    told = {name: rule.get(name[0].lower() + name[1:], None if name in ("Reason", "OptionalOldSelf") else "")
            for name in ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")}
    return orjson.dumps(told).replace(b">", b"\\u003e").replace(b"<", b"\\u003c").replace(b"&", b"\\u0026").decode()


def _wrong(schema: Obj, rule: Obj, field: str, wanted: str) -> str:
    expression = rule.get(field)
    if not expression:
        return ""
    try:
        returns = _program(schema, rule, expression).returns
    except CelError as error:
        return f"compilation failed: {error}"
    if returns not in (wanted, "dyn"):
        return f"cel expression must evaluate to a {wanted}" if wanted == "bool" else \
            "messageExpression must evaluate to a string"
    return _undefined(schema, expression)


def _undefined(schema: Obj, expression: str) -> str:
    """Say which field of `self` the schema does not have; types would tell, had our CEL types of schemas."""
    bare = _STRINGS.sub(lambda text: " " * len(text[0]), expression)
    for chain in _CHAIN.finditer(bare):
        at, part = chain.start(1), schema
        for name in chain[1].split(".")[1:]:
            known = {_escaped(field): child for field, child in (part.get("properties") or {}).items()}
            if part is schema and not part.get("type"):
                return ""
            if part.get("type") != "object" or "properties" not in part or name in TYPE_META:
                break
            if name not in known:
                return (f"compilation failed: ERROR: <input>:1:{at + 1}: undefined field '{name}'\n | {expression}\n | "
                        f"{'.' * at}^")
            at, part = at + len(name) + 1, known[name]
    return ""


def _timed(schema: Obj, expression: str) -> str:
    """Read the fields that hold times as times where an expression names them; our CEL has no such values in maps."""
    bare = _STRINGS.sub(lambda text: " " * len(text[0]), expression)
    for chain in reversed(list(_NAMED.finditer(bare))):
        part: Obj | None = schema
        for name in chain[1].split(".")[1:]:
            fields = {_escaped(field): child for field, child in ((part or {}).get("properties") or {}).items()}
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
            text = ("call arguments did not match a supported operator, function or macro signature for rule: "
                    f"{rule['rule']}")
        yield invalid_value(path, type_, text)
        return
    yield _refusal(rule, path + rule.get("fieldPath", ""), type_, _message(schema, rule, data))


def _message(schema: Obj, rule: Obj, data: dict[str, Any]) -> str:
    default = rule.get("message") or f"failed rule: {rule['rule'].strip()}"
    if not rule.get("messageExpression"):
        return default
    try:
        told = _program(schema, rule, rule["messageExpression"]).eval(data)
    except CelError:
        return default
    return told if isinstance(told, str) and told.strip() and "\n" not in told else default


def _refusal(rule: Obj, path: str, type_: str, message: str) -> FieldError:
    path = path.removeprefix(".")
    match rule.get("reason"):
        case "FieldValueForbidden":
            return forbidden_field(path, message)
        case "FieldValueRequired":
            return required(path, message)
        case "FieldValueDuplicate":
            return duplicate(path, type_)
    return invalid_value(path, type_, message)


def _escaped(name: str) -> str:
    if name in _KEYWORDS:
        return f"__{name}__"
    for text, instead in _ESCAPES:
        name = name.replace(text, instead)
    return name


def _value(schema: Obj, value: Any) -> Any:
    """Return a value as CEL is to see it: fields by their escaped names, numbers as doubles."""
    match value:
        case dict() if "properties" in schema:
            return {_escaped(name): _value(child_of(schema, name) or {}, part) for name, part in value.items()}
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
