"""Authorisation: may they? RBAC's answer, made cheap, and the limits of a node.

    user ─► bindings that name the user, a group or the service account ─► roles ─► rules ─► a verb on a resource?

Invariant: nothing is allowed that no rule allows; after `invalidate` the next answer reads the roles anew.
Models:    kube-apiserver's RBAC and Node authorizers, and the part of NodeRestriction that needs no body
Left out:  what a node may do with volumes and resource claims, which its role allows for all of them
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from kubelab.control_plane.apiserver.routes import RequestInfo, listed, path_matches
from kubelab.machinery.errors import ApiError, forbidden
from kubelab.machinery.request import Obj, User

MASTERS, NODES, NODE_PREFIX = "system:masters", "system:nodes", "system:node:"
CONTROLLER_MANAGER, CONTROLLER_ROLES = "system:kube-controller-manager", "system:controller:"
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
        if not info.resource:
            return self._first(("path", info.verb, info.path), lambda rule: allows_path(rule, info.verb, info.path), "")
        target = info.target
        key = (info.verb, info.group, target, info.namespace)
        found = self._answers.get(key)
        if found is None and key not in self._answers:
            found = self._remember(key, self._search(info, target, named=False))
        return found or self._search(info, target, named=True) or self._denied()

    def _search(self, info: RequestInfo, target: str, *, named: bool) -> Decision | None:
        for rule, namespace, reason in self.grants:
            if namespace and namespace != info.namespace:
                continue
            names = rule.get("resourceNames")
            if bool(names) == named and allows_resource(rule, info.verb, info.group, target) \
                    and (not names or (info.name or info.selected) in names):
                return Decision(True, reason)
        return None

    def _first(self, key: tuple[str, ...], allows: Callable[[Obj], bool], namespace: str) -> Decision:
        if key not in self._answers:
            found = next((Decision(True, g.reason) for g in self.grants if g.namespace == namespace and allows(g.rule)),
                         None)
            self._remember(key, found)
        return self._answers[key] or self._denied()

    def _remember(self, key: tuple[str, ...], answer: Decision | None) -> Decision | None:
        if len(self._answers) >= REMEMBERED:
            self._answers.clear()
        self._answers[key] = answer
        return answer

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
        """Say whether `user` may do what `info` describes, and why."""
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


def references(spec: Obj, kind: str) -> set[str]:
    """Return the names of the Secrets ("secret") or ConfigMaps ("configMap") that a pod spec refers to."""
    names: set[str] = set()
    if kind == "secret":
        names.update(ref.get("name", "") for ref in spec.get("imagePullSecrets") or ())
    for volume in spec.get("volumes") or ():
        source = volume.get(kind) or {}
        names.add(source.get("secretName" if kind == "secret" else "name", ""))
        for projected in (volume.get("projected") or {}).get("sources") or ():
            names.add((projected.get(kind) or {}).get("name", ""))
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()),
                      *(spec.get("ephemeralContainers") or ())):
        for source in container.get("envFrom") or ():
            names.add((source.get(f"{kind}Ref") or {}).get("name", ""))
        for entry in container.get("env") or ():
            names.add(((entry.get("valueFrom") or {}).get(f"{kind}KeyRef") or {}).get("name", ""))
    names.discard("")
    return names


def allows_resource(rule: Obj, verb: str, group: str, target: str) -> bool:
    """Match a rule with a verb on `target`, a resource or resource/subresource (names are the caller's matter)."""
    if not (listed(rule.get("verbs"), verb) and listed(rule.get("apiGroups"), group)):
        return False
    resources: Sequence[str] = rule.get("resources") or ()
    if "*" in resources or target in resources:
        return True
    _, slash, subresource = target.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def allows_path(rule: Obj, verb: str, path: str) -> bool:
    """Match a rule with a verb on a URL that is no resource."""
    urls: Sequence[str] = rule.get("nonResourceURLs") or ()
    return listed(rule.get("verbs"), verb) and any(path_matches(url, path) for url in urls)


def denial(user: User, info: RequestInfo, reason: str) -> ApiError:
    """Word a refusal as Kubernetes does."""
    if not info.resource:
        message = f'User "{user.name}" cannot {info.verb} path "{info.path}"' + (f": {reason}" if reason else "")
        return _bare_forbidden(message)
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {info.verb} resource "{info.target}" in API group "{info.group}" {where}'
    return forbidden(info.group, info.resource, info.name, why + (f": {reason}" if reason else ""))


class _BareForbidden(ApiError):
    """403 for a path: Kubernetes sends its details, empty as they are."""

    @property
    def status(self) -> Obj:
        shown = super().status
        code = shown.pop("code")
        return shown | {"details": {}, "code": code}


def _bare_forbidden(message: str) -> ApiError:
    return _BareForbidden(403, "Forbidden", f"forbidden: {message}")


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
