"""Delete: what goes at once, what goes gracefully, and what waits for finalizers.

    DELETE ─► options ─► preconditions ─┬─ a pod that runs ─────────────► deletionTimestamp; its kubelet finishes it
                                        ├─ finalizers (own or by policy) ► deletionTimestamp; their owners finish it
                                        └─ nothing holds it ────────────► gone

Invariant: an object with finalizers is never removed here.
Models:    k8s.io/apiserver/pkg/registry/rest/delete.go and generic/registry/store.go, pod and namespace strategies
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.apiserver.call import Call, invalid_options
from kubelab.control_plane.apiserver.decode import GO_TYPE, read_body
from kubelab.control_plane.apiserver.reading import integer, list_options, list_page
from kubelab.control_plane.apiserver.storage import Changed, Storage, is_finished, keeps_content
from kubelab.machinery import schema
from kubelab.machinery.clock import Clock, parse_timestamp, timestamp
from kubelab.machinery.decoding import check, json_type
from kubelab.machinery.errors import (
    STALE,
    ApiError,
    bad_request,
    conflict,
    forbidden,
    not_found,
)
from kubelab.machinery.options import delete_errors
from kubelab.machinery.request import Encoded, Obj
from kubelab.machinery.routes import is_true
from kubelab.machinery.serializer import Malformed, Unreadable
from kubelab.units.crd import CUSTOM_RESOURCE_DEFINITION as CRD
from kubelab.units.crds.status import FINALIZER as CRD_FINALIZER
from kubelab.units.crds.status import mark_terminating
from kubelab.units.object_parts import ordered
from kubelab.units.priorityclass import SYSTEM as SYSTEM_PRIORITIES

Admit = Callable[[Call, Obj, Obj], Awaitable[None]]
ATTEMPTS = 5
DELETE_OPTIONS = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"}
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
ORPHANING = frozenset({"replicationcontrollers", "jobs"})  # by default, kept for compatibility
UNOWNING = frozenset({"events"})  # whose dependents nobody looks after
JOB_WARNING = ("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
               "them or set propagationPolicy=Orphan to suppress this warning")
KEPT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    grace_s: int | None = None
    policy: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    cascades: bool = False  # said by orphanDependents=false, of old
    given: Obj = field(default_factory=dict)  # all that the client said

    @classmethod
    def of(cls, given: Obj, dry_run: bool) -> DeleteOptions:
        """Take the options from a meta/v1 DeleteOptions, or from a request that was a dry run already."""
        policy, orphan = given.get("propagationPolicy") or "", given.get("orphanDependents")
        if orphan is not None and not policy:
            policy = "Orphan" if orphan else "Background"
        conditions = given.get("preconditions") or {}
        return cls(given.get("gracePeriodSeconds"), policy, conditions.get("uid") or "",
                   conditions.get("resourceVersion") or "", dry_run or bool(given.get("dryRun")), orphan is False,
                   {key: value for key, value in given.items()
                    if key not in ("kind", "apiVersion", "dryRun") and value != {}})


def read_delete_options(call: Call) -> DeleteOptions:
    """Take the options from the body, or from the query where there is no body. Raises `Invalid`, `BadRequest`."""
    try:
        body, _ = read_body(call.request) if call.request.body else (None, [])
    except Malformed as error:
        prefix = "" if isinstance(error, Unreadable) else "couldn't get version/kind; json parse error: "
        raise bad_request(f"{prefix}{error}") from None
    given: Obj = _typed({} if body is None else body) if call.request.body else _from_query(call)
    if errors := delete_errors(given):
        raise invalid_options("DeleteOptions", errors)
    options = DeleteOptions.of(given, call.dry_run)
    call.dry_run = options.dry_run
    return options


def _typed(body: Any) -> Obj:
    if not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal "
                          f"{json_type(body)} into Go value of type {GO_TYPE}")
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a DeleteOptions')
    checked = check(schema.compile_schema(DELETE_OPTIONS), body, "Ignore")
    if checked.errors:
        raise bad_request('DeleteOptions in version "v1" cannot be handled as a DeleteOptions: ' + checked.errors[0])
    return checked.obj


def _from_query(call: Call) -> Obj:
    query = call.query
    out: Obj = {"dryRun": [query["dryRun"]]} if "dryRun" in query else {}
    if "propagationPolicy" in query:
        out["propagationPolicy"] = query["propagationPolicy"]
    if query.get("gracePeriodSeconds"):
        out["gracePeriodSeconds"] = integer(query["gracePeriodSeconds"])
    if "orphanDependents" in query:
        out["orphanDependents"] = is_true(query["orphanDependents"])
    out["preconditions"] = {key: query[key] for key in ("uid", "resourceVersion") if query.get(key)}
    return out


class Deleter:
    """Deletes objects of every kind."""

    def __init__(self, storage: Storage, clock: Clock, admit: Admit | None = None) -> None:
        self._storage, self._clock, self._admit = storage, clock, admit

    async def delete(self, call: Call, options: DeleteOptions) -> Obj | Encoded:
        """Delete one object; return it, or a Status when it is gone for good."""
        kind = call.kind
        if kind.builtin == "jobs" and not options.policy:
            call.warnings.append(JOB_WARNING)
        for _ in range(ATTEMPTS):
            old = call.collection.objects.get(call.key)
            if old is None:
                raise not_found(call.told_group, kind.plural, call.info.name)
            self.check(call, options, old.obj)
            if self._admit is not None and not call.subresource:  # an eviction has been admitted as such
                await self._admit(call, old.obj, options.given | ({"dryRun": ["All"]} if options.dry_run else {}))
            try:
                return await self._once(call, options, old)
            except Changed:
                continue
        raise conflict(call.told_group, kind.plural, call.info.name, STALE)

    async def delete_collection(self, call: Call, options: DeleteOptions) -> Obj:
        """Delete what a list with the same selectors would show; return it as a list."""
        asked = list_options(call.collection, call.query)
        page = await list_page(self._storage, call.collection, call.namespace, asked)
        for body in page.items:
            metadata = body.obj["metadata"]
            one = call.for_object(metadata.get("namespace", ""), metadata["name"])
            try:
                await self.delete(one, options)
            except ApiError as error:
                if error.code != 404:
                    raise
        kind = call.kind
        return {"kind": kind.list_kind or f"{kind.kind}List", "apiVersion": kind.api_version,
                "metadata": page.metadata_of(kind),
                "items": [body.obj for body in page.items]}

    def check(self, call: Call, options: DeleteOptions, old: Obj) -> None:
        """Raise `Forbidden` for what may not be deleted, `Conflict` for another object than the one that is meant."""
        kind, metadata = call.kind, old["metadata"]
        if kind.builtin == "namespaces" and call.info.name in KEPT_NAMESPACES:
            raise forbidden(kind.group, kind.plural, call.info.name, "this namespace may not be deleted")
        if kind.builtin == "priorityclasses" and call.info.name in SYSTEM_PRIORITIES:
            raise forbidden(kind.group, kind.plural, call.info.name,
                            "this is a system priority class and cannot be deleted")
        for what, given, stored in (("UID", options.uid, metadata["uid"]),
                                    ("ResourceVersion", options.resource_version, metadata["resourceVersion"])):
            if given and given != stored:
                happened = "deleted and then recreated" if what == "UID" else "modified"
                raise conflict(kind.group, kind.kind, call.info.name,
                               f"the {what} in the precondition ({given}) does not match the {what} in record "
                               f"({stored}). The object might have been {happened}")

    async def _once(self, call: Call, options: DeleteOptions, old: Encoded) -> Obj | Encoded:
        new = self._marked(call, options, old.obj)
        if new is None:
            return old
        if not is_finished(new):
            return new if options.dry_run else await self._storage.update(call.collection, call.key, new, old)
        revision = None if options.dry_run else await self._storage.delete(call.collection, call.key, old)
        if not call.kind.returned:
            return gone(call, old.obj)
        last = new if call.kind.builtin == "pods" else old.obj  # nothing but a pod was marked before it went
        if revision is None:
            return last
        return {**last, "metadata": {**last["metadata"], "resourceVersion": str(revision)}}

    def _marked(self, call: Call, options: DeleteOptions, old: Obj) -> Obj | None:
        """Return the object marked as terminating; None when it is so already and nothing more is to be done."""
        metadata = {**old["metadata"]}
        finalizers = self._finalizers(call, options, metadata)
        marked, left_s = "deletionTimestamp" in metadata, metadata.get("deletionGracePeriodSeconds") or 0
        grace_s = self._grace(call, options, old) if not left_s else _shorter(options, left_s)
        if left_s and grace_s == left_s:  # what has begun can be hastened, and nothing else
            return None
        held = finalizers or grace_s or keeps_content(old)
        if marked and held and not left_s and finalizers == (metadata.get("finalizers") or []):
            return None
        now = self._clock.now() if not left_s else parse_timestamp(metadata["deletionTimestamp"]) - left_s
        if call.kind.qualified == CRD.qualified and not marked:
            finalizers = [*finalizers, *({CRD_FINALIZER} - set(finalizers))]
        metadata["finalizers"] = finalizers
        if not marked or grace_s < left_s:
            if not marked and metadata.get("generation") and call.kind.qualified != CRD.qualified:
                metadata["generation"] += 1
            metadata["deletionTimestamp"] = timestamp(now + grace_s)
        if call.kind.builtin != "namespaces" and call.kind.qualified != CRD.qualified:
            metadata["deletionGracePeriodSeconds"] = grace_s
        new = {**old, "metadata": ordered(metadata)}
        if call.kind.builtin == "namespaces":
            new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        elif call.kind.qualified == CRD.qualified and not marked:
            new["status"] = mark_terminating(old, now)
        return new

    def _finalizers(self, call: Call, options: DeleteOptions, metadata: Obj) -> list[str]:
        """Return the finalizers after the propagation policy has put its own in or taken them out."""
        finalizers: list[str] = list(metadata.get("finalizers") or ())
        policy = options.policy
        if not policy and call.kind.builtin in ORPHANING and not {ORPHAN, FOREGROUND} & set(finalizers):
            policy = "Orphan"
        if call.kind.builtin in UNOWNING:
            policy = "Background"
        if not policy:
            return finalizers
        kept = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
        own = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
        return kept + own if not set(own) & set(finalizers) else finalizers

    def _grace(self, call: Call, options: DeleteOptions, old: Obj) -> int:
        """Return how many seconds a pod has to end; everything else, and a pod on no node, has none."""
        if call.kind.builtin != "pods":
            return 0
        spec: Any = old.get("spec") or {}
        if not spec.get("nodeName") or (old.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        grace_s = options.grace_s if options.grace_s is not None else spec.get("terminationGracePeriodSeconds", 30)
        return max(int(grace_s), 1) if grace_s and grace_s < 0 else int(grace_s)


def _shorter(options: DeleteOptions, left_s: int) -> int:
    """Return the grace of a pod that is ending already: less than it was given, or as it was."""
    if options.grace_s is None:
        return left_s
    return min(int(options.grace_s) if options.grace_s >= 0 else 1, left_s)


def gone(call: Call, old: Obj) -> Obj:
    """Return the Status that says an object is deleted."""
    details = {"name": call.info.name, "group": call.told_group, "kind": call.kind.plural,
               "uid": old["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {key: value for key, value in details.items() if value}}
