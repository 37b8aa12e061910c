"""Authorisation: may they? RBAC's answer, made cheap, and the limits of a node.

    user ─► bindings that name the user, a group or the service account ─► roles ─► rules ─► a verb on a resource?

Invariant: nothing is allowed that no rule allows; after `invalidate` the next answer reads the roles anew.
Models:    kube-apiserver's RBAC and Node authorizers, and the part of NodeRestriction that needs no body
Left out:  what a node may do with volumes and resource claims, which its role allows for all of them
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from kubelab.machinery import metrics
from kubelab.machinery.errors import ApiError, forbidden
from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.pods.references import references
from kubelab.units.rbac_rules import allows_path, allows_resource

MASTERS, NODES, NODE_PREFIX = "system:masters", "system:nodes", "system:node:"
CONTROLLER_MANAGER, CONTROLLER_ROLES = "system:kube-controller-manager", "system:controller:"
BY_NODE, BY_RBAC = ("Node", "node", "allowed"), ("RBAC", "rbac", "allowed")
DECISIONS = metrics.counter(
    "apiserver_authorization_decisions_total", "Total number of terminal decisions made by an authorizer split by "
    "authorizer type, name, and decision.", ("type", "name", "decision"))
REMEMBERED = 4096  # users, and answers a user

List = Callable[[str], Iterable[Obj]]
"""plural (roles, rolebindings, clusterroles, clusterrolebindings, pods) -> stored objects."""
Get = Callable[[str, str, str], Obj | None]
"""(plural, namespace, name) -> stored object."""


class Decision(NamedTuple):
    allowed: bool
    reason: str = ""


class Grant(NamedTuple):
    """One rule of one role, and through which binding it came to the user."""

    rule: Obj
    namespace: str  # "" for all
    reason: str


class Rights:
    """What one user may do. Answers that hang on no object name are remembered."""

    def __init__(self, grants: Sequence[Grant], missing: Sequence[str]) -> None:
        self.grants, self.missing = grants, missing
        self._answers: dict[tuple[str, ...], Decision | None] = {}

    def decide(self, info: RequestInfo) -> Decision:
        key = (info.verb, info.group, info.target, info.namespace) if info.resource else (info.verb, info.path)
        if key not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[key] = self._search(info, named=False)
        found = self._answers[key]
        if found is None and info.resource:
            found = self._search(info, named=True)
        return found or self._denied()

    def _search(self, info: RequestInfo, *, named: bool) -> Decision | None:
        """Look among the rules that hang on names, or among the others."""
        name, target = info.name or info.selected, info.target
        for rule, namespace, reason in self.grants:
            if namespace and namespace != info.namespace:
                continue
            names = rule.get("resourceNames")
            if bool(names) != named or (names and name not in names):
                continue
            allows = allows_resource(rule, info.verb, info.group, target) if target \
                else allows_path(rule, info.verb, info.path)
            if allows:
                return Decision(True, reason)
        return None

    def _denied(self) -> Decision:
        if not self.missing:
            return Decision(False)
        errors = self.missing[0] if len(self.missing) == 1 else f"[{', '.join(self.missing)}]"
        return Decision(False, f"RBAC: {errors}")


class Authorizer:
    """Decides every request. Call `invalidate` whenever a role or binding was written."""

    def __init__(self, list_: List, get: Get) -> None:
        self._list, self._get = list_, get
        self._rights: dict[tuple[str, tuple[str, ...]], Rights] = {}

    def invalidate(self) -> None:
        self._rights.clear()

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Say whether `user` may do what `info` describes, and why. What a rule allows is counted."""
        if MASTERS in user.groups:
            return Decision(True)
        decision = self.decide(user, info)
        if decision.allowed:
            DECISIONS.add(BY_NODE if NODES in user.groups and user.name.startswith(NODE_PREFIX) else BY_RBAC)
        return decision

    def decide(self, user: User, info: RequestInfo) -> Decision:
        """Say the same, and count nothing."""
        if MASTERS in user.groups:
            return Decision(True)
        if NODES in user.groups and user.name.startswith(NODE_PREFIX):
            refused = self._node_limits(user.name.removeprefix(NODE_PREFIX), info)
            if refused is not None:
                return Decision(False, refused)
        return self.rights_of(user).decide(info)

    def check(self, user: User, info: RequestInfo) -> None:
        """Let it pass, or raise Forbidden in Kubernetes' words."""
        allowed, reason = self.authorize(user, info)
        if not allowed:
            raise denial(user, info, reason)

    def rights_of(self, user: User) -> Rights:
        key = (user.name, user.groups)
        found = self._rights.get(key)
        if found is None:
            if len(self._rights) >= REMEMBERED:
                self._rights.clear()
            found = self._rights[key] = self._resolve(user)
        return found

    def rules_of(self, user: User, namespace: str) -> tuple[list[Obj], list[Obj]]:
        """Return (resource rules, non-resource rules) that hold in a namespace, for SelfSubjectRulesReview."""
        held = [g for g in self.rights_of(user).grants if g.namespace in ("", namespace)]
        resources = [{k: v for k, v in g.rule.items() if k != "nonResourceURLs"} for g in held
                     if g.rule.get("resources")]
        urls = [{"verbs": g.rule["verbs"], "nonResourceURLs": g.rule["nonResourceURLs"]} for g in held
                if g.rule.get("nonResourceURLs")]
        return resources, urls

    def _resolve(self, user: User) -> Rights:
        """Walk from the bindings to the rules; the one place where roles are read."""
        grants: list[Grant] = []
        missing: list[str] = []
        if NODES in user.groups and user.name.startswith(NODE_PREFIX):  # the Node authorizer needs no binding
            node_role = self._get("clusterroles", "", "system:node") or {}
            grants += (Grant(rule, "", "") for rule in node_role.get("rules") or ())
        for binding in (*self._list("clusterrolebindings"), *self._list("rolebindings")):
            namespace = binding["metadata"].get("namespace", "")
            subject = _subject_for(user, binding, namespace)
            if subject is None:
                continue
            ref = binding["roleRef"]
            role = self._get("roles", namespace, ref["name"]) if ref["kind"] == "Role" \
                else self._get("clusterroles", "", ref["name"])
            if role is None:
                missing.append(f'{ref["kind"].lower()}.rbac.authorization.k8s.io "{ref["name"]}" not found')
                continue
            reason = _reason(binding, namespace, ref, subject)
            grants += (Grant(rule, namespace, reason) for rule in role.get("rules") or ())
        return Rights(grants, missing)

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────

    def _node_limits(self, node: str, info: RequestInfo) -> str | None:
        """Return why a node may not do this even if its role allows it: a node cares for itself alone."""
        verb, name = info.verb, info.name
        unrelated = f'no relationship found between node "{node}" and this object'
        match (info.group, info.resource):
            case ("", "nodes"):
                wanted = name or info.selected
                if verb in ("update", "patch", "delete") and name != node:
                    return f'node "{node}" is not allowed to modify node "{name}"'
                if verb in ("get", "list", "watch") and wanted != node:
                    return f'node "{node}" cannot read "{wanted}", only its own Node object'
            case ("", "pods"):
                return self._pod_limits(node, info, unrelated)
            case ("coordination.k8s.io", "leases"):
                if info.namespace != "kube-node-lease":
                    return f"can only access leases in the \"kube-node-lease\" system namespace, not {info.namespace!r}"
                if name and name != node:
                    return f'can only access node lease with the same name as the requesting node "{node}"'
            case ("", "secrets" | "configmaps") if not self._needs(node, info):
                return unrelated
            case ("", "serviceaccounts") if not any(
                    (pod["spec"].get("serviceAccountName") or "default") == name for pod in self._pods_on(node, info)):
                return unrelated
        return None

    def _pod_limits(self, node: str, info: RequestInfo, unrelated: str) -> str | None:
        if info.verb in ("list", "watch", "deletecollection") and not info.name:
            return None if info.selected_node == node else "can only list/watch pods with spec.nodeName field selector"
        pod = self._get("pods", info.namespace, info.name) if info.name else None
        if pod is None or pod["spec"].get("nodeName") == node:
            return None
        if info.verb == "get":
            return unrelated
        what = {"status": "update pod status for", "eviction": "evict"}.get(info.subresource, "delete")
        return f'node "{node}" can only {what} pods with spec.nodeName set to itself'

    def _pods_on(self, node: str, info: RequestInfo) -> Iterator[Obj]:
        return (pod for pod in self._list("pods") if pod["metadata"].get("namespace") == info.namespace
                and pod["spec"].get("nodeName") == node)

    def _needs(self, node: str, info: RequestInfo) -> bool:
        """Tell whether a pod of the node refers to this Secret or ConfigMap."""
        kind = "secret" if info.resource == "secrets" else "configMap"
        wanted = info.name or info.selected
        return any(wanted in references(pod["spec"], kind) for pod in self._pods_on(node, info))


def denial(user: User, info: RequestInfo, reason: str) -> ApiError:
    """Word a refusal as Kubernetes does."""
    if not info.resource:
        message = f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"'
        return ApiError(403, "Forbidden", message + (f": {reason}" if reason else ""), {})
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {info.verb} resource "{info.target}" in API group "{info.group}" {where}'
    return forbidden(info.group, info.resource, info.name, why + (f": {reason}" if reason else ""))


def _subject_for(user: User, binding: Obj, namespace: str) -> Obj | None:
    """Return the subject of a binding that stands for the user.

    The controller manager runs all controllers under its own name, as the real one does when it is not started with
    --use-service-account-credentials: so it holds what each of them is given.
    """
    subjects: Sequence[Obj] = binding.get("subjects") or ()
    for subject in subjects:
        kind, name = subject["kind"], subject["name"]
        if kind == "User":
            found = name == user.name
        elif kind == "Group":
            found = name in user.groups
        else:
            found = user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}" or (
                user.name == CONTROLLER_MANAGER and binding["roleRef"]["name"].startswith(CONTROLLER_ROLES))
        if found:
            return subject
    return None


def _reason(binding: Obj, namespace: str, ref: Obj, subject: Obj) -> str:
    name = binding["metadata"]["name"]
    kind, name = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who += f"/{subject.get('namespace') or namespace}"
    return f'RBAC: allowed by {kind} "{name}" of {ref["kind"]} "{ref["name"]}" to {subject["kind"]} "{who}"'
