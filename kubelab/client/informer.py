"""Informer: a local copy of one kind, kept by list and watch, with indexes and handlers.

    list ─► replace ─┐
                     ├─► objects ─► indexes ─► handlers(type, new, old)
    watch ─► event ──┘
      │ stream ends ─► watch again from the last revision
      └ 410 Expired ─► list again, and tell the handlers only what differs

Invariants: every change reaches every handler once, in order, and what `get` returns is never older than what a
            handler was told; objects are shared and never changed. While a handler runs, `current_cause` is the
            write that it hears of.
Models:     client-go's SharedIndexInformer and Reflector
Left out:   resync periods (a reconcile that needs time asks the workqueue for it)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from kubelab.client.client import Client, Resource, kind_of
from kubelab.machinery.clock import Clock, RealClock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import current_cause
from kubelab.machinery.request import Obj, WatchEvent

log = logging.getLogger("kubelab")

Handler = Callable[[str, Obj, Obj | None], None]  # ADDED | MODIFIED | DELETED, the object, the object before
IndexFunc = Callable[[Obj], Collection[str]]

_FIRST_DELAY_S, _LAST_DELAY_S = 0.1, 30.0
_TURN_EVENTS = 256  # events handled before others get the loop
_WATCH_S = (300, 600)  # a watch is asked for anew after some time between these, so that a dead line is noticed


class Informer:
    """All objects of one kind that match, as of the last event."""

    def __init__(self, client: Client, res: Resource, *, namespace: str | None = None, selector: str | None = None,
                 field_selector: str | None = None, indexers: Mapping[str, IndexFunc] | None = None,
                 clock: Clock | None = None) -> None:
        self.kind = kind_of(res)
        self.resource_version = "0"
        self.relists = 0
        self.last_error: BaseException | None = None
        self._client, self._clock = client, clock or RealClock()
        self._namespace, self._selector, self._field_selector = namespace, selector, field_selector
        self._objects: dict[str, Obj] = {}
        self._indexers: dict[str, IndexFunc] = {}
        self._indexes: dict[str, dict[str, dict[str, Obj]]] = {}
        self._handlers: dict[Handler, None] = {}
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        for name, index in (indexers or {}).items():
            self.add_index(name, index)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, key: str) -> Obj | None:
        """Return the object under "namespace/name", or "name" for what has no namespace."""
        return self._objects.get(key)

    def list(self) -> Sequence[Obj]:
        return [*self._objects.values()]

    def keys(self) -> Iterable[str]:
        return self._objects.keys()

    def __len__(self) -> int:
        return len(self._objects)

    def by_index(self, name: str, value: str) -> Sequence[Obj]:
        """Return the objects for which the index function gave this value."""
        found = self._indexes[name].get(value)
        return [*found.values()] if found else []

    @property
    def synced(self) -> bool:
        return self._synced.is_set()

    # ── wiring ───────────────────────────────────────────────────────────────────────────────────────────────

    def add_index(self, name: str, index: IndexFunc) -> None:
        """Add an index, unless there is one of this name already."""
        if name in self._indexers:
            return
        self._indexers[name], self._indexes[name] = index, {}
        for key, obj in self._objects.items():
            for value in _values(index, obj):
                self._indexes[name].setdefault(value, {})[key] = obj

    def on_event(self, handler: Handler) -> Callable[[], object]:
        """Call `handler` for every object there is, then for every change; return what ends that."""
        self._handlers[handler] = None
        for obj in tuple(self._objects.values()):
            _call(handler, "ADDED", obj, None)

        return lambda: self._handlers.pop(handler, None)

    async def start(self) -> None:
        """Begin to follow; returns at once."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"informer/{self.kind.plural}")

    async def wait_synced(self) -> None:
        """Wait until the first list has been taken in."""
        await self._synced.wait()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._synced.clear()

    # ── following ────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        delay_s, listed = _FIRST_DELAY_S, False
        while True:
            try:
                if not listed:
                    await self._list()
                    listed, delay_s = True, _FIRST_DELAY_S
                if await self._watch():
                    delay_s = _FIRST_DELAY_S
            except ApiError as error:
                self.last_error = error
                listed = listed and error.code != 410
                if error.code == 410:
                    continue
                log.debug("informer of %s: %s", self.kind.plural, error)
            except OSError as error:
                self.last_error = error
                log.debug("informer of %s: %s", self.kind.plural, error)
            except Exception as error:  # an answer nobody expected must not end the informer for good
                self.last_error, listed = error, False
                log.exception("informer of %s lists anew", self.kind.plural)
            await self._clock.sleep(delay_s * (1 + random.random()))
            delay_s = min(delay_s * 2, _LAST_DELAY_S)

    async def _list(self) -> None:
        found = await self._client.list(self.kind, self._namespace, selector=self._selector,
                                        field_selector=self._field_selector)
        self.relists += 1
        self._replace(found.get("items") or [])
        self.resource_version = found["metadata"]["resourceVersion"]
        self._synced.set()

    def _replace(self, items: Iterable[Obj]) -> None:
        """Take over a whole list; handlers hear of the difference only."""
        fresh = {_key(obj): obj for obj in items}
        for key in [key for key in self._objects if key not in fresh]:
            self._apply("DELETED", self._objects[key])
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
                self._apply("DELETED", old)
                old = None
            if old is None or old["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._apply("ADDED", obj)

    async def _watch(self) -> bool:
        """Follow until the stream ends; return whether anything came."""
        count = 0
        async for event in self._client.watch(self.kind, self._namespace, selector=self._selector,
                                              field_selector=self._field_selector,
                                              resource_version=self.resource_version,
                                              timeout_s=random.randint(*_WATCH_S)):
            self._follow(event)
            count += 1
            if count % _TURN_EVENTS == 0:
                await asyncio.sleep(0)
        return count > 0

    def _follow(self, event: WatchEvent) -> None:
        if event.type != "BOOKMARK":
            token = current_cause.set(event.cause)  # what the handlers start has the write as its cause
            self._apply(event.type, event.obj)
            current_cause.reset(token)
        self.resource_version = event.obj["metadata"]["resourceVersion"]

    def _apply(self, type_: str, obj: Obj) -> None:
        """Take one change in: objects and indexes first, then the handlers."""
        key = _key(obj)
        old = self._objects.get(key)
        if type_ == "DELETED":
            if old is None:
                return
            del self._objects[key]
            for name, index in self._indexers.items():
                self._unindex(name, _values(index, old), key)
        else:
            type_ = "ADDED" if old is None else "MODIFIED"
            self._objects[key] = obj
            for name, index in self._indexers.items():
                values = _values(index, obj)
                if old is not None:
                    self._unindex(name, set(_values(index, old)).difference(values), key)
                entries = self._indexes[name]
                for value in values:
                    bucket = entries.get(value)
                    if bucket is None:
                        bucket = entries[value] = {}
                    bucket[key] = obj
        for handler in tuple(self._handlers):
            _call(handler, type_, obj, old)

    def _unindex(self, name: str, values: Iterable[str], key: str) -> None:
        entries = self._indexes[name]
        for value in values:
            bucket = entries.get(value)
            if bucket is not None:
                bucket.pop(key, None)
                if not bucket:
                    del entries[value]


class Informers:
    """Informers shared by all who ask for the same objects."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self.client, self._clock = client, clock
        self._informers: dict[tuple[str, str | None, str | None, str | None], Informer] = {}
        self._started = False

    def of(self, res: Resource, *, namespace: str | None = None, selector: str | None = None,
           field_selector: str | None = None, indexers: Mapping[str, IndexFunc] | None = None) -> Informer:
        """Return the informer of these objects; one that is asked for after `start_all` has to be started."""
        kind = kind_of(res)
        key = (kind.qualified, namespace, selector, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(self.client, kind, namespace=namespace, selector=selector,
                                                       field_selector=field_selector, clock=self._clock)
        for name, index in (indexers or {}).items():
            informer.add_index(name, index)
        return informer

    def drop(self, informer: Informer) -> None:
        """Share an informer no more; it is the caller's to stop."""
        self._informers = {key: other for key, other in self._informers.items() if other is not informer}

    def __iter__(self) -> Iterator[Informer]:
        return iter(list(self._informers.values()))

    async def start_all(self) -> None:
        """Start every informer and wait until each has its first list."""
        for informer in self._informers.values():
            await informer.start()
        await asyncio.gather(*(informer.wait_synced() for informer in self._informers.values()))

    async def stop_all(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))


def _key(obj: Obj) -> str:
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def _values(index: IndexFunc, obj: Obj) -> Collection[str]:
    try:
        return index(obj)
    except Exception:  # an object that an index cannot read is not in that index, and still in all others
        log.exception("an index function failed on %s", _key(obj))
        return ()


def _call(handler: Handler, type_: str, obj: Obj, old: Obj | None) -> None:
    try:
        handler(type_, obj, old)
    except Exception:  # one handler's mistake must not keep the others from hearing
        log.exception("a handler of %s %s failed", type_, _key(obj))
