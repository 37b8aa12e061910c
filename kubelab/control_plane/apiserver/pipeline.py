"""The way of every request through the API server. This page is the whole of it; the rest are its parts.

    Request ─► authenticate ─► authorise ─► serve ─► Response
                 who?            may they?    │
                                              └─ a write: prepare ─► admit ─► validate ─► store ─► (watch)

Invariant: nothing is stored that was not authenticated, authorised, admitted and validated, in this order.
Models:    the handler chain and generic registry of kube-apiserver
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

import orjson

from kubelab.control_plane.apiserver import judging, prepare
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.request_metrics import RequestMetrics
from kubelab.control_plane.apiserver.storage import Changed, Claim, Contended, Storage, is_finished
from kubelab.control_plane.etcd.api import EtcdError
from kubelab.machinery import apply
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.errors import ApiError, already_exists, not_generated
from kubelab.machinery.journal import Journal, current_cause
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Encoded, Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo, request_info
from kubelab.units import object_parts

Authenticate = Callable[[Request], User]
Authorise = Callable[[User, RequestInfo], None]
Serve = Callable[[Request, RequestInfo, User], Awaitable[Response]]
GENERATE_ATTEMPTS = 8
CLAIM_ATTEMPTS = 50
ALLOCATED = frozenset({"services"})  # kinds of which each holds addresses or ports alone
GONE_AWAY = Response(499)  # the client left before its answer
log = logging.getLogger("kubelab")


class Admission(Protocol):
    """Looks at every write: may change the object, may refuse it."""

    async def admit(self, call: Call, obj: Obj, old: Obj | None) -> None: ...
    async def validate(self, call: Call, obj: Obj, old: Obj | None) -> None: ...
    async def create_part(self, call: Call, sent: Obj) -> None: ...
    def allocate(self, call: Call, obj: Obj, old: Obj | None) -> None: ...
    def release(self, call: Call, obj: Obj) -> None: ...


class Pipeline:
    """Carries requests to their answers."""

    def __init__(self, storage: Storage, clock: Clock, journal: Journal, *, authenticate: Authenticate,
                 authorise: Authorise, admission: Admission, serve: Serve,
                 metrics: RequestMetrics) -> None:
        self.storage, self.clock, self.journal, self.metrics = storage, clock, journal, metrics
        self.authenticate, self.authorise, self.admission, self.serve = authenticate, authorise, admission, serve
        self._allocating = asyncio.Lock()
        self.way: Serve = self._allowed  # what follows authentication, within an audit trail where one is kept

    async def handle(self, request: Request) -> Response:
        """Answer one request, and count it."""
        info = request_info(request.method, request.path, request.query)
        began, kind = perf_counter(), self.metrics.enter(request)
        response = GONE_AWAY
        try:
            response = await self._answer(request, info)
            if request.answer_head is not None:
                response.headers.update(request.answer_head)
            return response
        finally:
            self.metrics.leave(kind, request, info, response, perf_counter() - began)

    async def _answer(self, request: Request, info: RequestInfo) -> Response:
        """Take a request all the way; whatever is refused is answered with a Status."""
        try:
            user = await self._who(request)
            token = current_cause.set(self._record(request, info, user))
            try:
                return await self.way(request, info, user)
            finally:
                current_cause.reset(token)
        except ApiError as error:
            return Response(error.code, error.status, error.headers)
        except EtcdError as error:
            return Response(500, ApiError(500, "", str(error)).status)
        except (RecursionError, orjson.JSONEncodeError):
            return Response(400, ApiError(400, "BadRequest", "exceeded max depth").status)
        except Exception as error:  # a fault of ours: the caller is told, everybody else goes on
            log.exception("%s %s failed", request.method, request.path)
            return Response(500, ApiError(500, "InternalError", f"Internal error occurred: {error!r}").status)

    async def _allowed(self, request: Request, info: RequestInfo, user: User) -> Response:
        if self.storage.etcd.shared:  # another server may have granted it
            await self.storage.sure(lambda: self.authorise(user, info))
        else:
            self.authorise(user, info)
        return await self.serve(request, info, user)

    async def _who(self, request: Request) -> User:
        """Find out who asks; nobody is refused for what this server has not heard of yet."""
        if "authorization" not in request.headers:
            return self.authenticate(request)
        return await self.storage.sure(lambda: self.authenticate(request))

    async def write(self, call: Call, obj: Obj, old: Encoded | None) -> Encoded:
        """Take a new object (to replace `old`, if there is one) all the way into the store."""
        obj = self.prepare(call, obj, old.obj if old else None)
        await self.admission.admit(call, obj, old.obj if old else None)
        if old is not None and not call.writes_status:
            object_parts.count_generation(call.kind, obj, old.obj)  # once it is known what has changed
        self.validate(call, obj, old.obj if old else None)
        await self.admission.validate(call, obj, old.obj if old else None)
        if not call.subresource:
            call.warnings += call.kind.warnings(obj, old.obj if old else None)
            call.kind.canonical(obj)
        if old is not None and obj == old.obj:
            return old  # a write that changes nothing is none: no revision, no event
        if call.dry_run:
            return self._only_shown(call, obj, old)
        return await self.store(call, obj, old)

    def prepare(self, call: Call, obj: Obj, old: Obj | None) -> Obj:
        """Fill in defaults and the server's own fields, and note who owns which field."""
        kind, stamp, obj = call.kind, self.stamp(), call.inward(obj)
        prepare.dedup_owners(call, obj)
        if old is None:
            kind.default(obj)
            object_parts.forget_system(obj)
            self._track(call, None, obj, stamp)
            call.generates = object_parts.begin_metadata(kind, obj, stamp)
            kind.prepare_create(obj)
            return obj
        prepare.keep_identity(call, obj, old)
        obj = prepare.completed(call, obj, old)
        if call.writes_status:
            kind.prepare_status(obj, old, stamp)
        self._track(call, old, obj, stamp)
        return obj

    def _track(self, call: Call, old: Obj | None, obj: Obj, stamp: str) -> None:
        if call.operation != "Update":
            return
        if call.is_face:  # who owns what is told in the fields of the version that was written
            seen, shown = call.outward(old) if old is not None else None, call.outward(obj)
            apply.track_update(seen, shown, call.manager, "Update", call.subresource, stamp)
            obj["metadata"]["managedFields"] = shown["metadata"].get("managedFields") or []
            return
        apply.track_update(old, obj, call.manager, "Update", call.subresource, stamp,
                           node=call.kind.own.node if call.kind.own is not None else None)

    def stamp(self) -> str:
        return timestamp(self.clock.now())

    def validate(self, call: Call, obj: Obj, old: Obj | None) -> None:
        """Refuse what breaks the rules of its kind, with every reason at once."""
        judging.validate(call, obj, old)

    async def store(self, call: Call, obj: Obj, old: Encoded | None) -> Encoded:
        """Write the object; the watches of everybody else have been told when this returns."""
        if call.kind.builtin in ALLOCATED and not call.subresource:
            body = await self._allocated(call, obj, old)
        else:
            body = await self._stored(call, obj, old)
        self.journal.record("write", call.info.verb, f"{call.kind.plural}/{_key(body.obj)}", actor=call.user.name,
                            detail=body.obj["metadata"].get("resourceVersion"))
        return body

    async def _allocated(self, call: Call, obj: Obj, old: Encoded | None) -> Encoded:
        """Give the object what only one may hold, and store it unless another server gave something meanwhile."""
        async with self._allocating:
            for _ in range(CLAIM_ATTEMPTS):
                claim, chosen = self.storage.claim(call.kind.plural), copy_obj(obj)
                self.admission.allocate(call, chosen, old.obj if old else None)
                try:
                    return await self._stored(call, chosen, old, claim)
                except BaseException as error:
                    self.admission.release(call, chosen)
                    if not isinstance(error, Contended):
                        raise
        raise ApiError(500, "InternalError", "Internal error occurred: too many servers allocate at once; try again")

    async def _stored(self, call: Call, obj: Obj, old: Encoded | None, claim: Claim | None = None) -> Encoded:
        if old is None:
            return await self._create(call, obj, claim)
        if is_finished(obj):  # the last finalizer is gone: the object goes with it, and its writer sees it as it left
            await self.storage.delete(call.collection, call.key, old)
            return Encoded(obj, orjson.dumps(obj))
        return await self.storage.update(call.collection, call.key, obj, old, claim)

    async def _create(self, call: Call, obj: Obj, claim: Claim | None) -> Encoded:
        metadata = obj["metadata"]
        for _ in range(GENERATE_ATTEMPTS):
            try:
                return await self.storage.create(call.collection, _key(obj), obj, claim)
            except Changed:
                if not call.generates:
                    break
                metadata["name"] = object_parts.generated_name(metadata["generateName"])
        raise self._taken(call, obj)

    def _taken(self, call: Call, obj: Obj) -> ApiError:
        refuse = not_generated if obj["metadata"].get("generateName") else already_exists
        error = refuse(call.told_group, call.kind.plural, obj["metadata"]["name"])
        holder = call.collection.objects.get(_key(obj))
        if holder is not None and "deletionTimestamp" in holder.obj["metadata"]:
            error.message = f"object is being deleted: {error.message}"
        return error

    def _only_shown(self, call: Call, obj: Obj, old: Encoded | None) -> Encoded:
        """Answer a dry run: everything has happened but the write."""
        if old is None and _key(obj) in call.collection.objects:
            raise self._taken(call, obj)
        self.admission.allocate(call, obj, old.obj if old else None)
        self.admission.release(call, obj)
        if not obj["metadata"].get("resourceVersion"):
            obj["metadata"].pop("resourceVersion", None)
        return Encoded(obj, orjson.dumps(obj))

    def _record(self, request: Request, info: RequestInfo, user: User) -> int:
        return self.journal.record("request", info.verb, request.path, actor=user.name, cause=request.cause)


def _key(obj: Obj) -> str:
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])
