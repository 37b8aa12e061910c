"""The registry: which kinds are served, and which handler answers which verb on them.

    (group, version, plural) ─► Kind, Collection ─► get list watch create update patch delete deletecollection
                                              └───► subresources (status is a write like any other)

Invariant: every kind of the catalogue is served by this code alone; what is special about it stands in its Kind.
Models:    k8s.io/apiserver/pkg/registry/generic/registry, endpoints/installer.go
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import orjson

from kubelab.control_plane.apiserver import writing
from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import read_object
from kubelab.control_plane.apiserver.deleting import Deleter, read_delete_options
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.control_plane.apiserver.present import Presentation, presentation
from kubelab.control_plane.apiserver.reading import ListOptions, Page, list_options, list_page, revision_of, too_large
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.control_plane.apiserver.watch import SIZES, Watcher
from kubelab.machinery.errors import ApiError, bad_request, forbidden, method_not_allowed, not_found
from kubelab.machinery.negotiation import only_streams
from kubelab.machinery.request import Encoded, Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo, is_true
from kubelab.units.answers import BINDING, answer_of
from kubelab.units.catalogue import Kind
from kubelab.units.versions import FACES

Handler = Callable[[Call], Awaitable[Response]]
LAST_BOOKMARK_S = 2  # before a watch ends, its client is told how far it has come
MIN_WATCH_S = 1800  # a watch without timeoutSeconds over the wire ends between this and twice this
NAMED = {"create": False, "update": True, "patch": True}  # whether the URL of a write ends in a name
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def check_name(name: str) -> None:
    """Refuse what could lead out of its folder, were names paths. Raises `BadRequest`."""
    if name in (".", ".."):
        raise bad_request(f'Name parameter invalid: "{name}": may not be \'{name}\'')
    for sign in "/%":
        if sign in name:
            raise bad_request(f'Name parameter invalid: "{name}": may not contain \'{sign}\'')


def _not_allowed(call: Call) -> ApiError:
    """Say that there is no such verb: built-in kinds have routes, custom resources one handler that looks itself."""
    kind = call.kind
    if kind.own is None:
        return method_not_allowed()
    if call.info.verb in ("update", "patch") and not call.info.name:
        return bad_request("name must be provided")
    verb = call.info.verb if call.info.verb in kind.verbs else ""
    why = f'{verb} is not supported on resources of kind "{kind.qualified}"'
    return ApiError(405, "MethodNotAllowed", why, {"group": kind.group, "kind": kind.plural})


class Registry:
    """Answers requests for the kinds of the catalogue."""

    def __init__(self, storage: Storage, kinds: Iterable[Kind]) -> None:
        self.storage = storage
        self.served: dict[tuple[str, str, str], Kind] = {}
        self.subresources: dict[tuple[str, str], Handler] = {}
        self.virtual: dict[tuple[str, str, str], Handler] = {}
        self.custom: dict[tuple[str, str, str], Collection] = {}  # by group, version, plural: of custom resources
        self.afterwards: dict[str, Callable[[], Awaitable[None]]] = {}  # by plural: what a write waits for
        self.computed: dict[tuple[str, str], Handler] = {}  # (plural, verb) of what is not stored
        self.pipeline: Pipeline
        self.deleter: Deleter
        self._verbs: dict[str, Handler] = {
            "get": self.get, "list": self.list, "watch": self.watch, "create": self.create, "update": self.update,
            "patch": self.patch, "delete": self.delete, "deletecollection": self.delete_collection}
        for kind in kinds:
            self.serve_kind(kind)
        for (group, version, plural), face in FACES.items():
            stored = self.served.get((face.group, face.version, plural))
            if stored is not None:
                self.served[group, version, plural] = face.kind_of(stored, group, version)

    def serve_kind(self, kind: Kind) -> None:
        self.served[kind.group, kind.version, kind.plural] = kind

    def serve_custom(self, kind: Kind, collection: Collection) -> None:
        """Serve one version of a custom resource."""
        self.serve_kind(kind)
        self.custom[kind.group, kind.version, kind.plural] = collection

    def withdraw(self, kind: Kind) -> None:
        """Serve a version no more."""
        self.served.pop((kind.group, kind.version, kind.plural), None)
        self.custom.pop((kind.group, kind.version, kind.plural), None)

    def serves(self, info: RequestInfo) -> bool:
        """Say whether anybody answers; for a custom resource nobody does outside its scope."""
        kind = self.served.get((info.group, info.version, info.resource))
        if kind is None or kind.own is None:
            return kind is not None
        return kind.namespaced == bool(info.namespace) or (kind.namespaced and info.verb in ("list", "watch"))

    def call(self, request: Request, info: RequestInfo, user: User) -> Call:
        """Make the call of a resource request. Raises NotFound when nothing of that name is served."""
        kind = self.served.get((info.group, info.version, info.resource))
        if kind is None or (kind.namespaced and not info.namespace and info.name) \
                or (not kind.namespaced and info.namespace and kind.plural != "namespaces"):
            raise no_such_resource()
        if kind.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            raise method_not_allowed()  # of all namespaces at once there is a list, and nothing else
        check_name(info.name)
        if kind.own is not None:
            return Call(request, info, user, kind, self.custom[info.group, info.version, info.resource])
        face = FACES.get((info.group, info.version, info.resource))
        if face is None:
            return Call(request, info, user, kind, self.storage.of(info.group, info.resource))
        return Call(request, info, user, kind, self.storage.of(face.group, info.resource),
                    outward=face.outward, inward=face.inward)

    async def serve(self, request: Request, info: RequestInfo, user: User) -> Response:
        """Find the handler of a resource request and let it answer."""
        virtual = self.virtual.get((info.group, info.version, info.resource))
        if virtual is not None:
            if info.verb != "create":
                raise method_not_allowed()
            return await virtual(_virtual_call(request, info, user))
        if (info.group, info.version, info.resource) == ("", "v1", "bindings") and info.verb == "create":
            info = _named_binding(request, info)
        call = self.call(request, info, user)
        if call.kind.deprecated:
            call.warnings.append(call.kind.deprecated)
        if call.collection.lags:
            await call.collection.settled()
        if self.storage.etcd.shared and info.verb != "watch" and not request.query.get("resourceVersion"):
            await self.storage.current()
        if info.verb in WRITES:
            call.read_options()
        if info.subresource:
            handler = self._subresource(call)
        elif (info.verb in NAMED and NAMED[info.verb] != bool(info.name)) or info.verb not in call.kind.verbs \
                or info.verb not in self._verbs:
            raise _not_allowed(call)
        else:
            handler = self.computed.get((call.kind.builtin, info.verb)) or self._verbs[info.verb]
            self._presentation(call)  # who could not read the answer is told so before anything is done
        try:
            response = await handler(call)
        except ApiError as error:
            if not call.warnings:
                raise
            response = Response(error.code, error.status, error.headers)  # what is refused is warned about as well
        if info.verb in WRITES and call.kind.builtin in self.afterwards:
            await self.afterwards[call.kind.builtin]()
        if call.warnings:
            texts = dict.fromkeys(call.warnings)
            response.headers["warning"] = "\n".join(f'299 - "{_escaped(text)}"' for text in texts)
        return response

    def _subresource(self, call: Call) -> Handler:
        kind, name = call.kind, call.info.subresource
        handler = self.subresources.get((kind.builtin, name)) or self.subresources.get(("*", name))
        if name not in kind.subresources:
            raise not_found(kind.group, kind.plural, call.info.name) if kind.own is not None else no_such_resource()
        if call.info.verb not in answer_of(kind, name)[3] and (name, call.info.verb) != ("proxy", "options"):
            raise _not_allowed(call)
        return handler or self._verbs[call.info.verb]

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, call: Call) -> Response:
        if revision := revision_of(call.query.get("resourceVersion", "")):
            await self._known(revision)
        return self.show(call, call.stored)

    async def list(self, call: Call) -> Response:
        options = self._list_options(call)
        page = await list_page(self.storage, call.collection, call.namespace, options)
        how = self._presentation(call)
        if how is not None:
            return Response(200, how.page([body.obj for body in page.items], page.metadata))
        return _list_response(call, page)

    def _list_options(self, call: Call) -> ListOptions:
        face = FACES.get((call.info.group, call.info.version, call.info.resource))
        return list_options(call.collection, call.query if face is None else face.query(call.query), call.info.name,
                            watching=call.info.verb == "watch")

    async def watch(self, call: Call) -> Response:
        only_streams(call.request)
        options = self._list_options(call)
        if options.revision and "sendInitialEvents" in call.query:
            await self._known(options.revision)
        elif options.revision:
            await self.storage.fresh(options.revision)
        how, query = self._presentation(call), call.query
        watcher = Watcher(namespace=call.namespace, labels=options.labels, fields=options.fields,
                          selectable=call.collection.selectable, bookmarks=is_true(query.get("allowWatchBookmarks")),
                          transform=how.event if how is not None else None)
        watcher.sizes = SIZES.cell((call.info.group, call.info.version, call.info.resource))
        self._end_in_time(call, watcher, options.timeout_s)
        asked = query.get("sendInitialEvents")
        initial = is_true(asked) if asked is not None else not options.revision
        call.collection.watch(watcher, None if initial else options.revision, initial=initial,
                              revision=self.storage.revision, marked=asked is not None)
        return Response(200, events=watcher)

    async def _known(self, revision: int) -> None:
        """Wait a moment for a revision. Raises `Timeout` when it is still to come."""
        if not await self.storage.fresh(revision):
            raise too_large(revision, self.storage.revision)

    def _end_in_time(self, call: Call, watcher: Watcher, timeout_s: float) -> None:
        if not timeout_s and call.request.headers.get("host"):  # over the wire; in process nobody forgets a watch
            timeout_s = MIN_WATCH_S * (1 + random.random())
        if timeout_s > 0:
            later = self.pipeline.clock.call_later
            watcher.on_close.append(later(timeout_s, watcher.close).cancel)
            if watcher.bookmarks and timeout_s > LAST_BOOKMARK_S:
                watcher.on_close.append(later(timeout_s - LAST_BOOKMARK_S, lambda: watcher.push(
                    call.collection.bookmark(self.storage.revision))).cancel)

    def _presentation(self, call: Call) -> Presentation | None:
        return presentation(call, self.pipeline.clock.now)

    def show(self, call: Call, body: Encoded | Obj, status: int = 200) -> Response:
        """Answer with one object, in the form that the client accepts."""
        how = self._presentation(call)
        if how is None:
            return Response(status, body)
        return Response(status, how.one(body.obj if isinstance(body, Encoded) else body))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, call: Call) -> Response:
        if call.kind.own is not None and call.kind.own.terminating:
            sent, _ = read_object(call.request, call.kind)
            raise forbidden(call.kind.group, call.kind.plural, sent["metadata"].get("name") or "",
                            "create not allowed while custom resource definition is terminating")
        return self.show(call, await writing.create(call, self.pipeline), 201)

    async def update(self, call: Call) -> Response:
        body, is_new = await writing.update(call, self.pipeline)
        return self.show(call, body, 201 if is_new else 200)

    async def patch(self, call: Call) -> Response:
        body, is_new = await writing.patch(call, self.pipeline)
        return self.show(call, body, 201 if is_new else 200)

    async def delete(self, call: Call) -> Response:
        options = read_delete_options(call)
        result = await self.deleter.delete(call, options)
        if isinstance(result, dict) and result.get("kind") == "Status":
            return Response(200, result)
        return self.show(call, result, 202 if options.cascades and call.key in call.collection.objects else 200)

    async def delete_collection(self, call: Call) -> Response:
        return Response(200, await self.deleter.delete_collection(call, read_delete_options(call)))


def _named_binding(request: Request, info: RequestInfo) -> RequestInfo:
    """Read POST .../bindings as the POST to the binding of the pod that the body names."""
    sent, _ = read_object(request, BINDING)
    name = sent["metadata"].get("name") if isinstance(sent["metadata"], dict) else None
    return replace(info, resource="pods", name=name if isinstance(name, str) else "", subresource="binding")


def _virtual_call(request: Request, info: RequestInfo, user: User) -> Call:
    """A review is computed, not stored: its call has no collection behind it."""
    return Call(request, info, user, Kind(info.resource, info.resource, info.group, info.version), None)  # type: ignore[arg-type]


def _list_response(call: Call, page: Page) -> Response:
    kind = call.kind
    head: Obj = {"kind": kind.list_kind or f"{kind.kind}List", "apiVersion": kind.api_version,
                 "metadata": page.metadata_of(kind)}
    item = call.collection.item

    def joined() -> bytes:
        return orjson.dumps(head)[:-1] + b',"items":[' + b",".join([item(body.raw) for body in page.items]) + b"]}"

    return Response(200, head | {"items": [body.obj for body in page.items]}, encode=joined)


def _escaped(text: str) -> str:
    """Write what a client may have named in one line of a header."""
    line = text.replace("\r", "\\r").replace("\n", "\\n")
    return line.replace("\\", "\\\\").replace('"', '\\"')
