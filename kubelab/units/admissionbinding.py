"""Bindings of admission policies: for which requests, with which parameters, and what a refusal leads to.

Models:    pkg/registry/admissionregistration, pkg/apis/admissionregistration of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.admissionpolicy import UNSET, mutating_operations
from kubelab.units.admissionrules import CATEGORIES, GROUP, default_match, match_errors
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

ACTIONS = ("Audit", "Deny", "Warn")
NOT_FOUND_ACTIONS = ("Deny", "Allow")


def _default_binding(binding: Obj) -> None:
    match = (binding.get("spec") or {}).get("matchResources")
    if match is not None:
        default_match(match)


def _binding_errors(spec: Obj) -> rules.Errors:
    if not spec.get("policyName"):
        yield required("spec.policyName")
    else:
        yield from rules.subdomain_name("spec.policyName", spec["policyName"])
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
    spec = binding.get("spec") or {}
    return [*_binding_errors(spec), *mutating_operations("spec.matchResources", spec.get("matchResources") or {})]


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
