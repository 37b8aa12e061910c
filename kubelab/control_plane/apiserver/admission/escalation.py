"""No one grants what they do not hold: who writes a role or a binding must have every right that it gives.

    Role's rules, or those of the role that a binding refers to
        ─► single rights (verb, group, resource, name) ─► each covered by a rule of the writer? ─► else Forbidden
    the verbs `escalate` (on roles) and `bind` (on the role referred to) let a writer pass, and system:masters may all

Invariant: a right that is given was held, or someone who held `escalate` or `bind` gave it.
Models:    pkg/registry/rbac/validation, pkg/registry/rbac/*/policybased
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.errors import not_found, shown
from kubelab.machinery.request import Obj
from kubelab.machinery.routes import RequestInfo
from kubelab.units.authorization import MASTERS, Authorizer
from kubelab.units.rbac_rules import compact, covers, single

GROUP = "rbac.authorization.k8s.io"
ROLES = ("roles", "clusterroles")
OF_THE_COLLECTOR = frozenset({"ownerReferences", "finalizers", "managedFields", "resourceVersion"})
EVERYTHING: tuple[Obj, ...] = ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                               {"verbs": ["*"], "nonResourceURLs": ["*"]})
MOST_RIGHTS = 10_000  # that one request may ask to be looked at


class Escalation(Plugin):
    name = "RBACEscalation"
    handles = tuple(f"{operation} {plural}" for operation in ("CREATE", "UPDATE")
                    for plural in (*ROLES, "rolebindings", "clusterrolebindings"))

    def __init__(self, storage: Storage, authorizer: Authorizer) -> None:
        super().__init__(storage)
        self._authorizer = authorizer

    def admit(self, a: Attributes) -> None:
        if MASTERS in a.call.user.groups or a.call.kind.group != GROUP or (a.old and _as_it_was(a.obj, a.old)):
            return
        if a.call.kind.plural in ROLES:
            if not self._may(a, "escalate", a.call.kind.plural, a.name):
                if a.obj.get("aggregationRule") and self._lacking(a, EVERYTHING):
                    raise a.forbidden("must have cluster-admin privileges to use the aggregationRule")
                self._check(a, a.obj.get("rules") or ())
            return
        ref = a.obj.get("roleRef") or {}
        plural = "roles" if ref.get("kind") == "Role" else "clusterroles"
        name = str(ref.get("name") or "")
        if not name or self._may(a, "bind", plural, name):
            return
        role = self.get(GROUP, plural, f"{a.namespace}/{name}" if plural == "roles" else name)
        if role is None:
            raise not_found(GROUP, plural, name)
        self._check(a, role.get("rules") or ())

    def _may(self, a: Attributes, verb: str, plural: str, name: str) -> bool:
        info = RequestInfo(verb, "", GROUP, "v1", a.namespace, plural, name)
        return self._authorizer.authorize(a.call.user, info).allowed

    def _check(self, a: Attributes, rules: Sequence[Obj]) -> None:
        lacking = self._lacking(a, rules)
        if not lacking:
            return
        user = a.call.user
        what = "\n".join(sorted({_shown(rule) for rule in compact(lacking)}))
        raise a.forbidden(f"user {shown(user.name)} (groups={_list(user.groups)}) is attempting to grant RBAC "
                          f"permissions not currently held:\n{what}")

    def _lacking(self, a: Attributes, rules: Sequence[Obj]) -> list[Obj]:
        """Return what of the rules the writer does not hold where they are to hold."""
        held = [g.rule for g in self._authorizer.rights_of(a.call.user).grants if g.namespace in ("", a.namespace)]
        wanted = list(islice(single(rules), MOST_RIGHTS + 1))
        if len(wanted) > MOST_RIGHTS:
            raise a.forbidden(f"more than {MOST_RIGHTS} rights in one object can only be granted by system:masters")
        return [right for right in wanted if not any(covers(rule, right) for rule in held)]


def _as_it_was(new: Obj, old: Obj) -> bool:
    """Tell whether an update touches only what the garbage collector writes."""
    def rest(obj: Obj) -> Obj:
        return obj | {"metadata": {k: v for k, v in obj["metadata"].items() if k not in OF_THE_COLLECTOR}}

    return rest(new) == rest(old)


def _shown(rule: Obj) -> str:
    fields = (("APIGroups", "apiGroups"), ("Resources", "resources"), ("NonResourceURLs", "nonResourceURLs"),
              ("ResourceNames", "resourceNames"), ("Verbs", "verbs"))
    return "{" + ", ".join(f"{name}:{_list(rule[key])}" for name, key in fields if rule.get(key)) + "}"


def _list(values: Iterable[str]) -> str:
    return "[" + " ".join(map(shown, values)) + "]"
