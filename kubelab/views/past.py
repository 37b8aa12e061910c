"""The cluster as it was: lists of the past, which etcd remembers until it is compacted.

    revision ─► GET ...?resourceVersion=N&resourceVersionMatch=Exact  (each kind that is drawn) ─► items

Invariant: everything here comes from the API as of one revision; what etcd does not store (whether a component ran)
           is not shown as if it were known.
Models:    a list with resourceVersionMatch=Exact
Left out:  a real cluster's compactions are learnt of by being refused
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from kubelab.client.client import Client, kind_of
from kubelab.client.component import Component
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.views.chronicle import Chronicle
from kubelab.views.items import Item
from kubelab.views.model import view_model

DRAWN = ("nodes", "pods", "services", "endpointslices")
KEPT = 24  # pictures
_FLOOR = re.compile(r"too old resource version: \d+ \((\d+)\)")
TURN = 100  # changes read back in one go


class Compacted(LookupError):
    """etcd has forgotten a revision; `oldest` is the first that can still be read."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"Revision {revision} has been compacted: etcd has forgotten it. The oldest that can still "
                         f"be read is {oldest}.")
        self.oldest = oldest


class Change(NamedTuple):
    """One change that was read back; None stands for "not there"."""

    kind: str
    old: Obj | None
    new: Obj | None
    revision: int


class Past:
    """Pictures and objects of earlier revisions. `items` is the live view model."""

    def __init__(self, client: Client, chronicle: Chronicle, items: Mapping[str, Item],
                 components: Mapping[str, Component]) -> None:
        self.began = 0  # the newest revision when the view began to follow the cluster
        self._client, self._chronicle, self._items, self._components = client, chronicle, items, components
        self._pictures: OrderedDict[int, dict[str, Item]] = OrderedDict()
        self._oldest = 0  # as learnt by being refused
        self._settled = self._seen = 0  # the newest revision two beats and one beat ago

    @property
    def newest(self) -> int:
        """Return the newest revision: the store's own word where this process holds it, else the newest object's."""
        return max(int(getattr(self._components.get("etcd"), "revision", 0)), int(self._items["cluster"]["revision"]))

    @property
    def oldest(self) -> int:
        """Return the oldest revision that can be shown, as far as is known."""
        compacted = getattr(self._components.get("etcd"), "compact_revision", None)
        return max(1, compacted if compacted is not None else max(self._oldest, self.began))

    def item(self) -> Item:
        """Return the bounds of the time bar as an item of the view model."""
        forgotten = hasattr(self._components.get("etcd"), "compact_revision") or self._oldest > self.began
        return {"t": "time", "oldest": self.oldest, "newest": self.newest,
                "why": "compacted before" if forgotten else "this view began at"}

    def beat(self) -> None:
        """Once a second: what was new at the last beat has reached the chronicle by now."""
        self._settled, self._seen = self._seen, self.newest

    def _span(self, revision: int) -> tuple[int, int]:
        """Return the stretch around a revision that one picture shows."""
        first, last = self._chronicle.span(revision, self._settled)
        return (max(first, self.oldest), last) if revision <= self._settled else (revision, revision)

    async def picture(self, request: Obj) -> Obj:
        """Answer a view: what happened at a revision, and (unless it has them) the items as of then."""
        revision = int(request["revision"])
        bounds: Obj = {"revision": revision, "newest": self.newest}
        try:
            if revision < self.oldest:
                raise Compacted(revision, self.oldest)
            first, last = self._span(revision)
            earlier, later = self._chronicle.neighbours(revision)
            items = {} if request.get("have") else await self._draw(revision, first)
        except Compacted as error:
            return bounds | {"gone": str(error), "oldest": error.oldest}
        told = self._chronicle.told(revision)
        return bounds | {"oldest": self.oldest, "first": first, "last": last, "items": items,
                         "earlier": earlier, "later": later} | told

    async def _draw(self, revision: int, first: int) -> dict[str, Item]:
        known = self._pictures.get(first)
        if known is None:
            lists = await asyncio.gather(*(self.listed(plural, None, revision) for plural in DRAWN))
            objects = {plural: sorted(found, key=_age) for plural, found in zip(DRAWN, lists, strict=True)}
            known = view_model(objects, str(self._items["cluster"]["name"]))
            self._pictures[first] = known
            if len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        return known | self._parts()

    def _parts(self) -> dict[str, Item]:
        """Return the control plane's cards without what etcd cannot know: whether it ran, how busy it was."""
        return {key: {"t": "part", "name": item["name"], "state": "", "detail": ""}
                for key, item in self._items.items() if item["t"] == "part"}

    async def listed(self, plural: str, namespace: str | None, revision: int, field_selector: str | None = None) -> Any:
        """Return the objects of a kind as of a revision. Raises Compacted."""
        try:
            found = await self._client.list(plural, namespace, field_selector=field_selector,
                                            resource_version=str(revision), resource_version_match="Exact")
        except ApiError as error:
            if error.code != 410:
                raise
            raise Compacted(revision, await self._find_oldest(plural, revision)) from None
        return found["items"]

    async def object(self, plural: str, namespace: str, name: str, revision: int) -> Obj | None:
        """Return one object as of a revision (0: now), None where it was not. Raises Compacted."""
        where = namespace if kind_of(plural).namespaced else None
        if not revision:
            try:
                return await self._client.get(plural, name, where)
            except ApiError as error:
                if error.code == 404:
                    return None
                raise
        found = await self.listed(plural, where, revision, f"metadata.name={name}")
        return found[0] if found else None

    async def recall(self, followed: Mapping[str, str]) -> list[Change]:
        """Read back what happened before the view began, as far as the API server still tells it, oldest first."""
        since, found = self.oldest, list[Change]()
        while since < self.began:
            answers = await asyncio.gather(*(self._changes(*one, since, self.began) for one in followed.items()),
                                           return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, BaseException)]
            if not refused:
                found = sorted((c for answer in answers if isinstance(answer, list) for c in answer), key=_revision)
                break
            since = max(since + 1, *map(_floor, refused))
        for i, (kind, old, new, _) in enumerate(found):
            self._chronicle.note(kind, old, new)
            if i % TURN == 0:
                await asyncio.sleep(0)  # the loop is everybody's
        self._chronicle.complete_from = min(self._chronicle.complete_from, since)
        return found

    async def _changes(self, plural: str, kind: str, since: int, until: int) -> list[Change]:
        known = {obj["metadata"]["uid"]: obj for obj in await self.listed(plural, None, since)}
        changes: list[Change] = []
        events = self._client.watch(plural, resource_version=str(since), bookmarks=False, timeout_s=1)
        async with aclosing(events):
            async for event in events:
                meta, gone = event.obj["metadata"], event.type == "DELETED"
                if int(meta["resourceVersion"]) > until:
                    break
                old = known.get(meta["uid"])
                changes.append(Change(kind, event.obj if gone else old, None if gone else event.obj,
                                      int(meta["resourceVersion"])))
                known[meta["uid"]] = event.obj
        return changes

    async def _find_oldest(self, plural: str, refused: int) -> int:
        """Halve the way between a revision that is gone and now until the first that is left is found."""
        if refused < self.oldest - 1:
            return self.oldest
        gone, left = refused, max(self.newest, refused + 1)
        while left - gone > 1:
            middle = (gone + left) // 2
            try:
                await self._client.list(plural, limit=1, resource_version=str(middle),
                                        resource_version_match="Exact")
                left = middle
            except ApiError as error:
                if error.code != 410:
                    raise
                gone = middle
        self._oldest = max(self._oldest, left)
        return self._oldest


def _floor(refused: BaseException) -> int:
    """Return from where on a server still tells what changed, as its refusal says; other errors go on."""
    found = _FLOOR.search(refused.message) if isinstance(refused, ApiError) and refused.code == 410 else None
    if found is None:
        raise refused
    return int(found[1])


def _revision(change: Change) -> int:
    return change.revision


def _age(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp") or "", obj["metadata"]["name"]
