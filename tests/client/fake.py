"""A small API server for one kind, to test clients against: what it does wrong, it does on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from kubelab.machinery.errors import already_exists, gone, not_found
from kubelab.machinery.request import Encoded, Obj, Request, Response, WatchEvent


def configmap(name: str, namespace: str = "default", **data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "data": data}


class FakeApi:
    """Objects by key, a revision, and watches that can be broken off or made to expire."""

    def __init__(self) -> None:
        self.revision = 10
        self.objects: dict[str, Obj] = {}
        self.requests: list[Request] = []
        self.watches: set[asyncio.Queue[WatchEvent | None]] = set()
        self.history: list[tuple[int, WatchEvent]] = []
        self.oldest = 0
        self.failures: list[Exception] = []

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        if request.query.get("watch"):
            return Response(200, events=self._watch(int(request.query["resourceVersion"])))
        name = request.path.rpartition("/")[2]
        if request.method == "GET" and name.endswith("s"):
            items = list(self.objects.values())
            return Response(200, {"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items})
        if request.method == "POST":
            obj: Any = request.body
            if f"default/{obj['metadata']['name']}" in self.objects:
                error = already_exists("", "configmaps", obj["metadata"]["name"])
                return Response(error.code, error.status)
            return Response(201, Encoded(self.put(obj), b""))
        if request.method in ("PATCH", "PUT"):
            return Response(200, request.body)
        found = self.objects.get(f"default/{name}")
        if found is None:
            error = not_found("", "configmaps", name)
            return Response(error.code, orjson.dumps(error.status), {"content-type": "application/json"})
        return Response(200, found)

    def put(self, obj: Obj, uid: str = "") -> Obj:
        key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        self.revision += 1
        old = self.objects.get(key)
        metadata = {**obj["metadata"], "resourceVersion": str(self.revision),
                    "uid": uid or (old["metadata"]["uid"] if old else f"u{self.revision}")}
        self.objects[key] = {**obj, "metadata": metadata}
        self._tell("MODIFIED" if old else "ADDED", self.objects[key])
        return self.objects[key]

    def remove(self, key: str) -> None:
        self.revision += 1
        old = self.objects.pop(key)
        self._tell("DELETED", {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.revision)}})

    def break_off(self) -> None:
        """End every watch, as a connection that is lost does."""
        for queue in self.watches:
            queue.put_nowait(None)

    def expire(self) -> None:
        """Forget the past: watches from it get 410, and those open end."""
        self.oldest = self.revision + 1
        self.revision += 1
        self.history.clear()
        self.break_off()

    def _tell(self, type_: str, obj: Obj) -> None:
        event = WatchEvent(type_, obj, b"")
        self.history.append((self.revision, event))
        for queue in self.watches:
            queue.put_nowait(event)

    async def _watch(self, since: int) -> AsyncIterator[WatchEvent]:
        if since < self.oldest:
            yield WatchEvent("ERROR", gone("too old resource version").status, b"")
            return
        queue: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
        for revision, event in self.history:
            if revision > since:
                queue.put_nowait(event)
        self.watches.add(queue)
        try:
            while (event_or_end := await queue.get()) is not None:
                yield event_or_end
        finally:
            self.watches.discard(queue)
