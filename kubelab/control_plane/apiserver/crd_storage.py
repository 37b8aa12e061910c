"""Where custom resources are kept: one prefix in etcd, and a collection for each version that reads it.

    etcd event ─► Hub.apply ─┬─► VersionCollection v1: as stored, or converted, then pruned and defaulted
                             └─► VersionCollection v2: ...            ▲
                                          a webhook has to convert? then it follows a moment later, in order

Invariant: a collection shows each object in its own version, whatever version it was stored in.
Models:    apiextensions-apiserver's storage per version and its conversion on the way in and out
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import orjson

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Encoded, Obj
from kubelab.units.catalogue import Kind

Convert = Callable[[list[Obj], str], Awaitable[list[Obj]]]  # (objects, apiVersion) -> the same in that version
Waiting = tuple[int, str, Encoded | None, int | None]  # revision, key, body, cause
AGAIN_S = 1.0
log = logging.getLogger("kubelab")


class VersionCollection(Collection):
    """The objects of a custom resource as one version shows them."""

    def __init__(self, kind: Kind, prefix: str, convert: Convert | None) -> None:
        super().__init__(kind, prefix)
        self.group_resource = (kind.group, kind.plural)
        self.lags = convert is not None
        self._convert = convert
        self._waiting: list[Waiting] = []
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def item(self, raw: bytes) -> bytes:
        """Items of a custom list tell their kind."""
        return raw

    def load(self, key: str, body: Encoded) -> None:
        if self._convert is not None and self._is_foreign(body):
            self._wait((0, key, body, None))
        else:
            super().load(key, self._shown(body, body.obj))

    def apply(self, revision: int, key: str, body: Encoded | None, cause: int | None = None) -> None:
        if self._waiting or (self._convert is not None and body is not None and self._is_foreign(body)):
            self._wait((revision, key, body, cause))
        else:
            super().apply(revision, key, self._shown(body, body.obj) if body is not None else None, cause)

    def decoded(self, body: Encoded) -> Encoded:
        """Return an object of the past. Raises `Expired` where only a webhook could read it."""
        if self._convert is not None and self._is_foreign(body):
            raise ApiError(410, "Expired", "The resourceVersion for the provided list is too old.")
        return self._shown(body, body.obj)

    async def inward(self, obj: Obj) -> Obj:
        """Return an object of this version as it is to be stored."""
        new = await self.converted(obj, f"{self.kind.group}/{self.kind.own.storage_version}")
        return new if obj["apiVersion"] == new["apiVersion"] else self.kind.own.to_store(new)

    async def converted(self, obj: Obj, api_version: str) -> Obj:
        """Return an object in another version of its kind."""
        if obj["apiVersion"] == api_version or self._convert is None:
            return {**obj, "apiVersion": api_version}
        return (await self._convert([obj], api_version))[0]

    async def settled(self) -> None:
        """Wait until everything that etcd has told is shown. Raises what the conversion webhook failed with."""
        while self._waiting:
            async with self._lock:
                batch = list(self._waiting)
                foreign = [body for _, _, body, _ in batch if body is not None and self._is_foreign(body)]
                assert self._convert is not None
                objects = await self._convert([body.obj for body in foreign], self.kind.api_version) if foreign else []
                new = {id(body): obj for body, obj in zip(foreign, objects, strict=True)}
                for revision, key, body, cause in batch:
                    shown = self._shown(body, new.get(id(body), body.obj)) if body is not None else None
                    if revision:
                        super().apply(revision, key, shown, cause)
                    elif shown is not None:
                        super().load(key, shown)
                del self._waiting[:len(batch)]

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for watcher in self.fanout:
            watcher.close()

    def _is_foreign(self, body: Encoded) -> bool:
        return bool(body.obj["apiVersion"] != self.kind.api_version)

    def _shown(self, body: Encoded, obj: Obj) -> Encoded:
        new = self.kind.own.read({**obj, "apiVersion": self.kind.api_version}, foreign=self._is_foreign(body))
        return body if new == body.obj else Encoded(new, orjson.dumps(new))

    def _wait(self, change: Waiting) -> None:
        self._waiting.append(change)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Show watchers what came, also when nobody reads; a webhook that does not answer is asked again."""
        while self._waiting:
            try:
                await self.settled()
            except ApiError as error:
                log.debug("%s: %s", self.kind.qualified, error)
                await asyncio.sleep(AGAIN_S)


class Hub:
    """What storage sees of a custom resource: a prefix whose events go to the collection of each version."""

    def __init__(self, prefix: str, kinds: list[Kind], convert: Convert | None) -> None:
        self.prefix = prefix
        self.versions = {kind.version: VersionCollection(kind, prefix, convert) for kind in kinds}
        self.stored = self.versions[kinds[0].own.storage_version]

    def load(self, key: str, body: Encoded) -> None:
        for collection in self.versions.values():
            collection.load(key, body)

    def apply(self, revision: int, key: str, body: Encoded | None, cause: int | None = None) -> None:
        for collection in self.versions.values():
            collection.apply(revision, key, body, cause)

    def close(self) -> None:
        for collection in self.versions.values():
            collection.close()
