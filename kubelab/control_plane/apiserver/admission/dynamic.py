"""What webhooks and policies share: when they run, what their expressions see, how a changed object is taken on.

    first round:   every plugin in order; one that changes the object calls for
    second round:  every plugin again, but of webhooks and policies only those that want to see later changes

Models:    k8s.io/apiserver/pkg/admission, reinvocation.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.control_plane.apiserver.admission.review import objects_of, request_of
from kubelab.control_plane.apiserver.decode import as_kind
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.control_plane.apiserver.webhook_client import WebhookClient
from kubelab.machinery.cel_library import asked
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units import object_parts

GROUP = "admissionregistration.k8s.io"
Authorise = Callable[[User, RequestInfo], None]


@dataclass(frozen=True, slots=True)
class Outside:
    """What dynamic admission reaches beyond the store: webhooks, the authoriser, the time as a timestamp."""

    webhooks: WebhookClient
    authorise: Authorise
    stamp: Callable[[], str]


class Dynamic(Plugin):
    """A plugin whose rules are objects of the API: `plural` is their kind. Without any it costs a look at a dict."""

    handles = ("CREATE *", "UPDATE *", "DELETE *", "CONNECT *")
    plural = ""
    early = False  # asked before a new object has its identity

    def __init__(self, storage: Storage, outside: Outside) -> None:
        super().__init__(storage)
        self.outside = outside

    def concerns(self, a: Attributes) -> bool:
        collection = self.storage.collections.get((GROUP, self.plural))
        return collection is not None and bool(collection.objects) and a.call.kind.group != GROUP

    def namespace_of(self, name: str) -> Obj | None:
        return self.get("", "namespaces", name)

    @contextmanager
    def expressions(self, a: Attributes) -> Iterator[Obj]:
        """Yield the variables of an expression, while `authorizer` answers for the user who asks."""
        token = asked.set(lambda asks, verb: self._allowed(a.call.user, asks, verb))
        target = {"group": a.call.kind.group, "resource": a.call.kind.plural, "subresource": a.call.subresource,
                  "namespace": a.namespace, "name": a.name}
        try:
            yield {**objects_of(a, early=self.early), "request": request_of(a, early=self.early),
                   "authorizer": {"requestResource": target},
                   "namespaceObject": self.namespace_of(a.namespace) if a.namespace else None}
        finally:
            asked.reset(token)

    def _allowed(self, user: User, asks: Obj, verb: str) -> bool:
        if "serviceAccount" in asks:
            namespace = asks["serviceAccount"].partition(":")[0]
            user = User(f"system:serviceaccount:{asks['serviceAccount']}",
                        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"))
        info = RequestInfo(verb, asks.get("path", ""), asks.get("group", ""), "*", asks.get("namespace", ""),
                           asks.get("resource", ""), asks.get("name", ""), asks.get("subresource", ""))
        try:
            self.outside.authorise(user, info)
        except ApiError:
            return False
        return True


def adopt(a: Attributes, new: Obj) -> bool:
    """Make `new` the object that is admitted, complete as the API server completes one; return whether it differs.

    Who owns which field has been settled before: what admission changes is nobody's.
    """
    call, kind = a.call, a.call.kind
    if new == a.obj:
        return False
    quiet = replace(call, field_validation="Ignore", strict=[], warnings=[])
    new = prepare.check_schema(quiet, call.inward(as_kind(new, kind)), kind)
    object_parts.carry(new["metadata"], a.obj["metadata"], (*object_parts.SYSTEM, "managedFields"))
    if a.call.generates:
        new["metadata"].setdefault("name", a.obj["metadata"]["name"])
    if a.old:
        new = prepare.completed(call, new, a.old)
    else:
        kind.default(new)
        kind.prepare_create(new)
    new["metadata"] = object_parts.ordered(new["metadata"])
    a.obj.clear()
    a.obj.update(new)
    return True
