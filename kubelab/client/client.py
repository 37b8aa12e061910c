"""The typed-by-catalogue client: verbs on kinds, over any transport.

    await client.create("deployments", obj)          ─► POST /apis/apps/v1/namespaces/default/deployments
    async for event in client.watch("pods"): ...     ─► GET  /api/v1/pods?watch=1

Invariant: objects that come back may be shared with the server and other clients: copy before changing.
Models:    client-go's dynamic client
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from kubelab.client.transport import Transport, close_events, error_of
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import current_cause
from kubelab.machinery.request import Encoded, Obj, Request, Response, WatchEvent
from kubelab.units import find
from kubelab.units.catalogue import Kind

if TYPE_CHECKING:
    import aiohttp

Resource = Kind | str

CONTENT_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}


class Client:
    """Talks to one API server as one user. `field_manager` names who owns the fields that are written."""

    def __init__(self, transport: Transport, *, user_agent: str = "kubelab", field_manager: str | None = None) -> None:
        self.transport, self.user_agent, self.field_manager = transport, user_agent, field_manager
        self._headers = {"user-agent": user_agent}

    async def close(self) -> None:
        await self.transport.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, res: Resource, name: str, namespace: str | None = None, *,
                  subresource: str | None = None) -> Obj:
        """Return one object. Raises NotFound."""
        kind = kind_of(res)
        return _obj(await self._send("GET", kind.path(namespace or "default", name, subresource), {}))

    async def list(self, res: Resource, namespace: str | None = None, *, selector: str | None = None,
                   field_selector: str | None = None, limit: int | None = None, continue_: str | None = None,
                   resource_version: str | None = None, resource_version_match: str | None = None) -> Obj:
        """Return the List of a namespace, or of all when `namespace` is None. Every item tells its kind.

        With `resource_version_match` "Exact" it is as of `resource_version`; raises Expired when that is gone.
        """
        kind = kind_of(res)
        query = _query(labelSelector=selector, fieldSelector=field_selector, limit=limit,
                       resourceVersion=resource_version, resourceVersionMatch=resource_version_match)
        if continue_:
            query["continue"] = continue_
        found = _obj(await self._send("GET", kind.path(namespace), query))
        items = found.get("items") or []
        if items and "kind" not in items[0]:  # on the wire, the items of a list do not say what they are
            found = {**found, "items": [{"kind": kind.kind, "apiVersion": kind.api_version, **i} for i in items]}
        return found

    async def watch(self, res: Resource, namespace: str | None = None, *, selector: str | None = None,
                    field_selector: str | None = None, resource_version: str | None = None, bookmarks: bool = True,
                    timeout_s: float | None = None) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes until the server ends the watch. Raises Expired when `resource_version` is too old."""
        query = _query(watch="1", labelSelector=selector, fieldSelector=field_selector,
                       resourceVersion=resource_version, allowWatchBookmarks="true" if bookmarks else None,
                       timeoutSeconds=None if timeout_s is None else int(timeout_s))
        response = await self._send("GET", kind_of(res).path(namespace), query)
        events = response.events
        assert events is not None
        try:
            async for event in events:
                if event.type == "ERROR":
                    raise ApiError.from_status(event.obj)
                yield event
        finally:
            await close_events(events)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, res: Resource, obj: Obj, namespace: str | None = None, *, name: str | None = None,
                     subresource: str | None = None, dry_run: bool = False) -> Obj:
        """Create an object, or with `name` and `subresource` post to e.g. a pod's binding."""
        kind = kind_of(res)
        path = kind.path(namespace or _namespace(obj), name, subresource)
        return _obj(await self._send("POST", path, self._write_query(dry_run), obj))

    async def update(self, res: Resource, obj: Obj, *, subresource: str | None = None, dry_run: bool = False) -> Obj:
        """Replace an object. Raises Conflict when its resourceVersion is not the newest."""
        kind = kind_of(res)
        path = kind.path(_namespace(obj), obj["metadata"]["name"], subresource)
        return _obj(await self._send("PUT", path, self._write_query(dry_run), obj))

    async def patch(self, res: Resource, name: str, patch: Any, namespace: str | None = None, *,
                    type: str = "merge", subresource: str | None = None, field_manager: str | None = None,
                    force: bool = False, dry_run: bool = False) -> Obj:
        """Change an object by a patch; "apply" is server-side apply, `force` takes fields from other managers."""
        kind = kind_of(res)
        query = self._write_query(dry_run, field_manager or (self.user_agent if type == "apply" else None))
        if force:
            query["force"] = "true"
        path = kind.path(namespace or (_namespace(patch) if isinstance(patch, dict) else "default"), name, subresource)
        return _obj(await self._send("PATCH", path, query, patch, self._with(None, CONTENT_TYPES[type])))

    async def delete(self, res: Resource, name: str, namespace: str | None = None, *,
                     grace_period_s: int | None = None, propagation: str | None = None, uid: str | None = None,
                     resource_version: str | None = None, dry_run: bool = False) -> Obj:
        """Delete one object, if it still has this uid and resourceVersion. `propagation` is as Kubernetes spells it."""
        options = _delete_options(grace_period_s, propagation, uid, resource_version)
        path = kind_of(res).path(namespace or "default", name)
        return _obj(await self._send("DELETE", path, self._write_query(dry_run), options))

    async def delete_collection(self, res: Resource, namespace: str | None = None, *, selector: str | None = None,
                                field_selector: str | None = None, grace_period_s: int | None = None,
                                propagation: str | None = None) -> Obj:
        """Delete all that a list with these selectors returns."""
        query = _query(labelSelector=selector, fieldSelector=field_selector)
        options = _delete_options(grace_period_s, propagation, None, None)
        return _obj(await self._send("DELETE", kind_of(res).path(namespace), query, options))

    # ── anything else ────────────────────────────────────────────────────────────────────────────────────────

    async def raw(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None,
                  accept: str | None = None, content_type: str | None = None) -> Any:
        """Send any request; return the JSON object that came back, or the bytes when it was something else."""
        path, _, text = path.partition("?")
        response = await self._send(method, path, _merged(text, query), body, self._with(accept, content_type))
        found = response.body.obj if isinstance(response.body, Encoded) else response.body
        if response.chunks is not None:
            found = b"".join([chunk async for chunk in response.chunks])
        if isinstance(found, bytes) and "json" in response.headers.get("content-type", ""):
            return orjson.loads(found)
        return found

    def stream(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> AsyncGenerator[bytes, None]:
        """Yield a body as it comes, such as the log of a container with `follow`. Close it to end the stream."""
        path, _, text = path.partition("?")
        return self.transport.stream(Request(method, path, _merged(text, query), self._headers))

    async def websocket(self, path: str, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse:
        """Open a stream for exec, attach or port-forward (path with its query); the caller closes it."""
        return await self.transport.websocket(path, protocols)

    def _with(self, accept: str | None, content_type: str | None) -> Mapping[str, str]:
        extra = {name: value for name, value in (("accept", accept), ("content-type", content_type)) if value}
        return {**self._headers, **extra} if extra else self._headers

    async def _send(self, method: str, path: str, query: Mapping[str, str], body: Any = None,
                    headers: Mapping[str, str] | None = None) -> Response:
        request = Request(method, path, query, headers or self._headers, body, None, current_cause.get())
        response = await self.transport.request(request)
        if response.status >= 400:
            raise error_of(response)
        return response

    def _write_query(self, dry_run: bool, field_manager: str | None = None) -> dict[str, str]:
        query: dict[str, str] = {}
        manager = field_manager or self.field_manager
        if manager:
            query["fieldManager"] = manager
        if dry_run:
            query["dryRun"] = "All"
        return query


def kind_of(res: Resource) -> Kind:
    """Return the catalogue entry of a kind given as itself, as plural, singular, short name or `name.group`."""
    return res if isinstance(res, Kind) else find(res)


def _namespace(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or "default")


def _merged(text: str, query: Mapping[str, str] | None) -> Mapping[str, str]:
    """Join the query that stands in a path with the one given beside it."""
    if not text:
        return query or {}
    from urllib.parse import parse_qsl

    return {**dict(parse_qsl(text, keep_blank_values=True)), **(query or {})}


def _query(**values: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def _delete_options(grace_period_s: int | None, propagation: str | None, uid: str | None,
                    resource_version: str | None) -> Obj | None:
    options: Obj = {}
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    if propagation is not None:
        options["propagationPolicy"] = propagation
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v is not None}
    if preconditions:
        options["preconditions"] = preconditions
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None


def _obj(response: Response) -> Obj:
    body = response.body
    if isinstance(body, Encoded):
        return body.obj
    if isinstance(body, bytes):
        decoded: Obj = orjson.loads(body)
        return decoded
    return body if body is not None else {}
