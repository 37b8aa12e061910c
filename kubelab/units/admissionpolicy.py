"""Admission policies and their bindings: rules in CEL that refuse a write, or change it.

Models:    pkg/registry/admissionregistration, pkg/apis/admissionregistration of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import admission_expressions, rules
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
ACTIONS = ("Audit", "Deny", "Warn")
PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
NOT_FOUND_ACTIONS = ("Allow", "Deny")
MAX_ANNOTATIONS = 20
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
    own = _validation_errors(policy["metadata"].get("name") or "", spec)
    return [*_common_errors(spec), *own, *admission_expressions.of_policy(spec)]


def _validate_mutating(policy: Obj) -> Sequence[FieldError]:
    spec = policy.get("spec") or {}
    return [*_common_errors(spec), *_mutation_errors(spec), *admission_expressions.of_policy(spec)]


def _common_errors(spec: Obj) -> rules.Errors:
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
    yield from condition_errors("spec.matchConditions", spec.get("matchConditions") or ())
    for i, variable in enumerate(spec.get("variables") or ()):
        path, name = f"spec.variables[{i}]", variable.get("name", "")
        if not name.strip():
            yield required(f"{path}.name", "name is not specified")
        elif not name.isidentifier():
            yield invalid_value(f"{path}.name", name, "name is not a valid CEL identifier")
        if not variable.get("expression", "").strip():
            yield required(f"{path}.expression", "expression is not specified")


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


def _validation_errors(name: str, spec: Obj) -> rules.Errors:
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not validations and not annotations:
        for key in ("validations", "auditAnnotations"):
            yield required(f"spec.{key}", "validations or auditAnnotations must contain at least one item")
    for i, one in enumerate(validations):
        path, message, said = f"spec.validations[{i}]", one.get("message", ""), one.get("messageExpression", "")
        if not one.get("expression", "").strip():
            yield required(f"{path}.expression", "expression is not specified")
        if said and not said.strip():
            yield invalid_value(f"{path}.messageExpression", said, "must be non-empty if specified")
        if message and not message.strip():
            yield invalid_value(f"{path}.message", message, "message must be non-empty if specified")
        elif "\n" in message.strip():
            yield invalid_value(f"{path}.message", message, "message must not contain line breaks")
        yield from rules.known(f"{path}.reason", one.get("reason"), REASONS)
    if len(annotations) > MAX_ANNOTATIONS:
        yield invalid_value("spec.auditAnnotations", annotations,
                            f"must not have more than {MAX_ANNOTATIONS} auditAnnotations")
    seen: set[str] = set()
    for i, one in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{i}]", one.get("key", "")
        yield from rules.qualified_name(f"{path}.key", f"{name}/{key}")
        if not one.get("valueExpression", "").strip():
            yield required(f"{path}.valueExpression", "valueExpression is not specified")
        if key in seen:
            yield duplicate(f"{path}.key", key)
        seen.add(key)


def _mutation_errors(spec: Obj) -> rules.Errors:
    mutations = spec.get("mutations") or ()
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    yield from rules.known("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATION_POLICIES)
    for i, one in enumerate(mutations):
        path, patch = f"spec.mutations[{i}]", one.get("patchType", "")
        yield from rules.one_of(f"{path}.patchType", patch, PATCH_TYPES)
        for type_ in PATCH_TYPES:
            key = type_[0].lower() + type_[1:] if type_ != "JSONPatch" else "jsonPatch"
            if patch == type_ and one.get(key) is None:
                yield required(f"{path}.{key}", f"must be specified when patchType is {type_}")
            elif patch == type_ and not one[key].get("expression", "").strip():
                yield required(f"{path}.{key}.expression", "expression is not specified")
            elif patch in PATCH_TYPES and patch != type_ and one.get(key) is not None:
                yield invalid_value(f"{path}.{key}", one[key], f"must not be specified when patchType is {patch}")


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
    columns=_columns("Validations", "Validations indicates the number of validation rules defined in this "
                                    "configuration"),
)
MUTATING_ADMISSION_POLICY = Kind(
    "MutatingAdmissionPolicy", "mutatingadmissionpolicies", group=GROUP, namespaced=False, categories=CATEGORIES,
    generation=True, default=_default_mutating, validate=_validate_mutating,
    columns=_columns("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
)


def _default_binding(binding: Obj) -> None:
    match = (binding.get("spec") or {}).get("matchResources")
    if match is not None:
        default_match(match)


def _binding_errors(spec: Obj) -> rules.Errors:
    if not spec.get("policyName"):
        yield required("spec.policyName")
    else:
        yield from rules.messages("spec.policyName", spec["policyName"], names.path_segment_errors)
    if spec.get("paramRef") is not None:
        yield from _param_ref_errors("spec.paramRef", spec["paramRef"])
    if spec.get("matchResources") is not None:
        yield from match_errors("spec.matchResources", spec["matchResources"])


def _param_ref_errors(path: str, ref: Obj) -> rules.Errors:
    name, selector = ref.get("name", ""), ref.get("selector")
    if name:
        yield from rules.messages(f"{path}.name", name, names.path_segment_errors)
        if selector is not None:
            yield rules.forbidden(f"{path}.name", "name and selector are mutually exclusive")
    if selector is not None:
        yield from rules.label_selector(f"{path}.selector", selector)
        if name:
            yield rules.forbidden(f"{path}.selector", "name and selector are mutually exclusive")
    elif not name:
        yield required(path, "one of name or selector must be specified")
    yield from rules.one_of(f"{path}.parameterNotFoundAction", ref.get("parameterNotFoundAction"), NOT_FOUND_ACTIONS)


def _action_errors(path: str, actions: Sequence[str]) -> rules.Errors:
    for i, action in enumerate(actions):
        yield from rules.known(f"{path}[{i}]", action, ACTIONS)
        if action in actions[:i]:
            yield duplicate(f"{path}[{i}]", action)
    if {"Deny", "Warn"} <= {*actions}:
        yield invalid_value(path, actions, "must not contain both Deny and Warn (repeating the same validation failure "
                                           "information in the API response and headers serves no purpose)")
    if not actions:
        yield required(path, "at least one validation action is required")


def _validate_binding(binding: Obj) -> Sequence[FieldError]:
    spec = binding.get("spec") or {}
    return [*_binding_errors(spec), *_action_errors("spec.validationActions", spec.get("validationActions") or ())]


def _validate_mutating_binding(binding: Obj) -> Sequence[FieldError]:
    return list(_binding_errors(binding.get("spec") or {}))


def _ref_text(binding: Obj) -> str:
    ref = (binding.get("spec") or {}).get("paramRef")
    if not ref:
        return UNSET
    if ref.get("name"):
        return f"{ref.get('namespace') or '*'}/{ref['name']}"  # whether the kind has namespaces is not known here
    return UNSET if ref.get("selector") is None else _as_go_prints(ref["selector"])


def _as_go_prints(selector: Obj) -> str:
    """Write a label selector as upstream's generated code does."""
    labels = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    wanted = "".join(
        f"LabelSelectorRequirement{{Key:{r.get('key', '')},Operator:{r.get('operator', '')},"
        f"Values:[{' '.join(r.get('values') or ())}],}}," for r in selector.get("matchExpressions") or ())
    return (f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
            f"MatchExpressions:[]LabelSelectorRequirement{{{wanted}}},}}")


_BINDING_COLUMNS = (
    NAME,
    Column("PolicyName", lambda o, now: (o.get("spec") or {}).get("policyName", ""),
           description="PolicyName indicates the policy definition which the policy binding binded to"),
    Column("ParamRef", lambda o, now: _ref_text(o),
           description="ParamRef indicates the param resource which sets the configration param"),
    AGE,
)
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", group=GROUP, namespaced=False,
    categories=CATEGORIES, generation=True, default=_default_binding, validate=_validate_binding,
    columns=_BINDING_COLUMNS)
MUTATING_ADMISSION_POLICY_BINDING = Kind(
    "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", group=GROUP, namespaced=False,
    categories=CATEGORIES, generation=True, default=_default_binding, validate=_validate_mutating_binding,
    columns=_BINDING_COLUMNS)
