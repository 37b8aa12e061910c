"""Admission policies and their bindings: rules in CEL that refuse a write, or change it.

Models:    pkg/registry/admissionregistration, pkg/apis/admissionregistration of kube-apiserver
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubelab.machinery import jsonpath, names
from kubelab.machinery.cel_types import DYN
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation
from kubelab.units.admission_expressions import BOOL, TEXT, TEXT_OR_NULL, Expressions
from kubelab.units.admissionrules import (
    CATEGORIES,
    FAILURE_POLICIES,
    GROUP,
    REINVOCATION_POLICIES,
    condition_errors,
    default_match,
    match_errors,
)
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}  # the field of each type
MUTATED = ("CREATE", "UPDATE")
MAX_ANNOTATIONS, MAX_VALUE_BYTES = 20, 5 * 1024
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
                       "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"))
UNSET = "<unset>"


def _default(policy: Obj) -> None:
    spec = policy.get("spec") or {}
    spec.setdefault("failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        default_match(spec["matchConstraints"])


def _default_mutating(policy: Obj) -> None:
    _default(policy)
    (policy.get("spec") or {}).setdefault("reinvocationPolicy", "Never")


def _prepare(policy: Obj) -> None:
    policy["status"] = {}


def _validate(policy: Obj) -> Sequence[FieldError]:
    spec = policy.get("spec") or {}
    expressions = Expressions(params=DYN if spec.get("paramKind") else None, composed=bool(spec.get("variables")))
    own = _validation_errors(policy["metadata"].get("name") or "", spec, expressions)
    return [*_common_errors(spec, expressions), *own]


def _validate_mutating(policy: Obj) -> Sequence[FieldError]:
    spec = policy.get("spec") or {}
    expressions = Expressions(params=DYN if spec.get("paramKind") else None, composed=True)
    return [*_common_errors(spec, expressions, mutating=True), *_mutation_errors(spec, expressions)]


def _common_errors(spec: Obj, expressions: Expressions, *, mutating: bool = False) -> rules.Errors:
    yield from rules.known("spec.failurePolicy", spec.get("failurePolicy"), FAILURE_POLICIES)
    if spec.get("paramKind") is not None:
        yield from _param_kind_errors("spec.paramKind", spec["paramKind"])
    match = spec.get("matchConstraints")
    if match is None:
        yield required("spec.matchConstraints")
    else:
        yield from match_errors("spec.matchConstraints", match)
        if not match.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
        if mutating:
            yield from mutating_operations("spec.matchConstraints", match)
    conditions = Expressions(params=DYN if spec.get("paramKind") else None)  # they see no variables
    yield from condition_errors("spec.matchConditions", spec.get("matchConditions") or (), conditions)
    for i, variable in enumerate(spec.get("variables") or ()):
        path, name = f"spec.variables[{i}]", variable.get("name", "")
        if not name.strip():
            yield required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
            yield invalid_value(f"{path}.name", name, "must be a valid CEL identifier")
        if not variable.get("expression", "").strip():
            yield required(f"{path}.expression", "expression is not specified")
        else:
            yield from expressions.variable_errors(f"{path}.expression", name, variable["expression"])


def _param_kind_errors(path: str, kind: Obj) -> rules.Errors:
    version, name = kind.get("apiVersion", ""), kind.get("kind", "")
    if not version:
        yield required(f"{path}.apiVersion")
    elif version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    else:
        group, _, number = version.rpartition("/")
        for part, check in ((group, names.dns1123_subdomain_errors), (number, names.dns1035_label_errors)):
            errors = check(part) if part else ()
            if errors:
                yield invalid_value(f"{path}.apiVersion", part, ",".join(errors))
        if not number:
            yield invalid_value(f"{path}.apiVersion", version, "version must be specified")
    if not name:
        yield required(f"{path}.kind")
    elif errors := names.dns1035_label_errors(name.lower()):
        yield invalid_value(f"{path}.kind", name, "may have mixed case, but should otherwise match: "
                            + ",".join(errors))


def _validation_errors(name: str, spec: Obj, expressions: Expressions) -> rules.Errors:
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        for key in ("validations", "auditAnnotations"):
            yield required(f"spec.{key}", "validations or auditAnnotations must contain at least one item")
    for i, one in enumerate(validations):
        path, message, said = f"spec.validations[{i}]", one.get("message", ""), one.get("messageExpression", "")
        if not one.get("expression", "").strip():
            yield required(f"{path}.expression", "expression is not specified")
        else:
            yield from expressions.errors(f"{path}.expression", one["expression"], BOOL)
        if said and not said.strip():
            yield invalid_value(f"{path}.messageExpression", said, "must be non-empty if specified")
        elif said:
            yield from expressions.errors(f"{path}.messageExpression", said, TEXT, authorizer=False)
        if message and not message.strip():
            yield invalid_value(f"{path}.message", message, "must be non-empty if specified")
        elif {"\n", "\r"} & {*message.strip()}:
            yield invalid_value(f"{path}.message", message, "must not contain line breaks")
        yield from rules.known(f"{path}.reason", one.get("reason"), REASONS)
    if len(annotations) > MAX_ANNOTATIONS:
        yield invalid_value("spec.auditAnnotations", annotations,
                            f"must not have more than {MAX_ANNOTATIONS} auditAnnotations")
    seen: set[str] = set()
    for i, one in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{i}]", one.get("key", "")
        yield from rules.qualified_name(f"{path}.key", f"{name}/{key}")
        value = one.get("valueExpression", "")
        if not value.strip():
            yield required(f"{path}.valueExpression", "valueExpression is not specified")
        elif len(value.strip().encode()) > MAX_VALUE_BYTES:
            yield required(f"{path}.valueExpression", f"must not exceed {MAX_VALUE_BYTES} bytes in length")
        else:
            yield from expressions.errors(f"{path}.valueExpression", value.strip(), TEXT_OR_NULL, shown=value)
        if key in seen:
            yield duplicate(f"{path}.key", key)
        seen.add(key)


def _status_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    status = new.get("status") or {}
    told = enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ())
    found = [error for i, warning in told
             for error in _warning_errors(f"status.typeChecking.expressionWarnings[{i}]", warning)]
    return [*found, *status_validation.condition_errors(status.get("conditions") or (), "status.conditions")]


def _warning_errors(path: str, warning: Obj) -> rules.Errors:
    place = (warning.get("fieldRef") or "").strip()
    if not warning.get("warning"):
        yield required(f"{path}.warning")
    if not place:
        yield required(f"{path}.fieldRef")
        return
    try:
        jsonpath.compiled(place)
    except jsonpath.PathError as error:
        yield invalid_value(f"{path}.fieldRef", place, f"invalid JSONPath: {error}")


def mutating_operations(path: str, match: Obj) -> rules.Errors:
    """Only what is written can be changed."""
    for rule in match.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            yield from rules.known(f"{path}.resourceRules.operations", operation, MUTATED)


def _mutation_errors(spec: Obj, expressions: Expressions) -> rules.Errors:
    mutations = spec.get("mutations") or ()
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for i, one in enumerate(mutations):
        path, patch = f"spec.mutations[{i}]", one.get("patchType", "")
        yield from rules.one_of(f"{path}.patchType", patch, tuple(PATCHES))
        if patch not in PATCHES:
            continue
        key = PATCHES[patch]
        if one.get(key) is None:
            yield required(f"{path}.{key}", f"must be specified when patchType is {patch}")
        elif not one[key].get("expression", "").strip():
            yield required(f"{path}.{key}.expression")
        else:
            yield from expressions.mutation_errors(f"{path}.{key}.expression", one[key]["expression"].strip())
        yield from (invalid_value(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {patch}")
                    for other in PATCHES.values() if other != key and one.get(other) is not None)
    yield from rules.one_of("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATION_POLICIES)


def _param_text(policy: Obj) -> str:
    kind = (policy.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _columns(counted: str, description: str) -> tuple[Column, ...]:
    return (
        NAME,
        Column(counted, lambda o, now: len((o.get("spec") or {}).get(counted.lower()) or ()), type="integer",
               description=description),
        Column("ParamKind", lambda o, now: _param_text(o),
               description="ParamKind specifies the kind of resources used to parameterize this policy"),
        AGE,
    )


VALIDATING_ADMISSION_POLICY = Kind(
    "ValidatingAdmissionPolicy", "validatingadmissionpolicies", group=GROUP, namespaced=False, categories=CATEGORIES,
    subresources=frozenset({"status"}), generation=True, default=_default, prepare_create=_prepare, validate=_validate,
    validate_part=_status_errors,
    columns=_columns("Validations", "Validations indicates the number of validation rules defined in this "
                                    "configuration"),
)
MUTATING_ADMISSION_POLICY = Kind(
    "MutatingAdmissionPolicy", "mutatingadmissionpolicies", group=GROUP, namespaced=False, categories=CATEGORIES,
    generation=True, default=_default_mutating, validate=_validate_mutating,
    columns=_columns("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
)
