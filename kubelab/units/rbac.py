"""Role, RoleBinding and their cluster-wide forms: who may do what.

    subject (User, Group, ServiceAccount) ─ RoleBinding ─► Role ─ rules ─► verbs on resources

Models: pkg/registry/rbac of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, CREATED_AT, NAME

GROUP = "rbac.authorization.k8s.io"


def _default_role(role: Obj) -> None:
    role["rules"] = role.get("rules") or None  # the field is always shown, even where there is no rule


def _default_binding(binding: Obj) -> None:
    binding.setdefault("roleRef", {}).setdefault("apiGroup", GROUP)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def _role_errors(role: Obj, namespaced: bool) -> rules.Errors:
    for i, rule in enumerate(role.get("rules") or ()):
        path = f"rules[{i}]"
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        urls = rule.get("nonResourceURLs") or ()
        if urls:
            if namespaced:
                yield invalid_value(f"{path}.nonResourceURLs", urls,
                                    "namespaced rules cannot apply to non-resource URLs")
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield invalid_value(f"{path}.nonResourceURLs", urls,
                                    "rules cannot apply to both regular resources and non-resource URLs")
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if role.get("aggregationRule") is not None and not selectors:
        yield required("aggregationRule.clusterRoleSelectors", "at least one clusterRoleSelector required if "
                                                               "aggregationRule is non-nil")
    for i, selector in enumerate(selectors or ()):
        path = f"aggregationRule.clusterRoleSelectors[{i}]"
        found = list(rules.label_selector(path, selector))
        yield from (*found, *([invalid_value(path, None, "invalid label selector.")] if found else ()))


def _validate_role(role: Obj) -> Sequence[FieldError]:
    return list(_role_errors(role, namespaced=True))


def _validate_cluster_role(role: Obj) -> Sequence[FieldError]:
    return list(_role_errors(role, namespaced=False))


def _binding_errors(binding: Obj, kinds: Sequence[str], namespaced: bool) -> rules.Errors:
    ref = binding.get("roleRef") or {}
    if ref.get("apiGroup") != GROUP:
        yield rules.unsupported("roleRef.apiGroup", ref.get("apiGroup", ""), (GROUP,))
    if ref.get("kind") not in kinds:
        yield rules.unsupported("roleRef.kind", ref.get("kind", ""), kinds)
    yield from _path_name("roleRef.name", ref.get("name", ""))
    for i, subject in enumerate(binding.get("subjects") or ()):
        yield from _subject_errors(f"subjects[{i}]", subject, namespaced)


def _path_name(field: str, name: str) -> rules.Errors:
    if not name:
        yield required(field)
    elif name in (".", ".."):
        yield invalid_value(field, name, f"may not be '{name}'")
    else:
        yield from (invalid_value(field, name, f"may not contain '{c}'") for c in "/%" if c in name)


def _subject_errors(path: str, subject: Obj, namespaced: bool) -> rules.Errors:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            yield from rules.subdomain_name(f"{path}.name", name)
        if group:
            yield rules.unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield rules.unsupported(f"{path}.apiGroup", group, (GROUP,))
    else:
        yield rules.unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def _validate_binding(binding: Obj) -> Sequence[FieldError]:
    return list(_binding_errors(binding, ("Role", "ClusterRole"), namespaced=True))


def _validate_cluster_binding(binding: Obj) -> Sequence[FieldError]:
    return list(_binding_errors(binding, ("ClusterRole",), namespaced=False))


def _same_role(new: Obj, old: Obj) -> Sequence[FieldError]:
    """A binding that changed its role would hide who was given what: it must be made anew."""
    ref = new.get("roleRef") or {}
    if ref == old.get("roleRef"):
        return ()
    shown = {"APIGroup": ref.get("apiGroup", ""), "Kind": ref.get("kind", ""), "Name": ref.get("name", "")}
    return (rules.invalid_struct("roleRef", shown, "cannot change roleRef"),)


def subjects_text(binding: Obj, kind: str) -> str:
    """Join the subjects of one kind; service accounts with their namespace."""
    found = [s for s in binding.get("subjects") or () if s.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{s.get('namespace', '')}/{s['name']}" for s in found)
    return ", ".join(s["name"] for s in found)


def _binding_columns(kind: str) -> tuple[Column, ...]:
    def role(binding: Obj, now: float) -> Any:
        return f"{binding['roleRef'].get('kind', '')}/{binding['roleRef'].get('name', '')}"

    said = kind[0].lower() + kind[1:]
    may = ("reference a Role in the current namespace or a ClusterRole" if kind == "RoleBinding" else
           "only reference a ClusterRole")
    return (
        NAME, Column("Role", role, description=f"RoleRef can {may} in the global namespace. If the RoleRef cannot be "
                                               "resolved, the Authorizer must return an error."), AGE,
        Column("Users", lambda o, now: subjects_text(o, "User"), priority=1, description=f"Users in the {said}"),
        Column("Groups", lambda o, now: subjects_text(o, "Group"), priority=1, description=f"Groups in the {said}"),
        Column("ServiceAccounts", lambda o, now: subjects_text(o, "ServiceAccount"), priority=1,
               description=f"ServiceAccounts in the {said}"),
    )


ROLE = Kind("Role", "roles", group=GROUP, default=_default_role, validate=_validate_role, validate_name="path",
            columns=(NAME, CREATED_AT))
CLUSTER_ROLE = Kind("ClusterRole", "clusterroles", group=GROUP, namespaced=False, default=_default_role,
                    validate=_validate_cluster_role, validate_name="path", columns=(NAME, CREATED_AT))
ROLE_BINDING = Kind("RoleBinding", "rolebindings", group=GROUP, default=_default_binding, validate=_validate_binding,
                    validate_update=_same_role, validate_name="path", columns=_binding_columns("RoleBinding"))
CLUSTER_ROLE_BINDING = Kind("ClusterRoleBinding", "clusterrolebindings", group=GROUP, namespaced=False,
                            default=_default_binding, validate=_validate_cluster_binding, validate_update=_same_role,
                            validate_name="path", columns=_binding_columns("ClusterRoleBinding"))
