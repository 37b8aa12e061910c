"""Storage: objects in etcd, and the caches that every read comes from.

    create/update/delete ─► etcd transaction (compares the revision) ─► etcd's watch ─► Collection.apply
                                                    get · list · watch ◄───────────────────┘

Stored bytes are the object's JSON with an empty resourceVersion; the revision etcd gave is spliced in when it comes
back, so an object is encoded once in its life and read as a join of bytes.

Invariant: the cache follows etcd's watch and nothing else; a write returns when its own revision has been applied.
Models:    k8s.io/apiserver/pkg/storage/etcd3 and cacher
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import NamedTuple, TypeVar

import orjson

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.crd_storage import Hub
from kubelab.control_plane.apiserver.following import Following
from kubelab.control_plane.apiserver.freshness import Freshness
from kubelab.control_plane.etcd.api import (
    Compare,
    DeleteRange,
    EtcdApi,
    KeyValue,
    Put,
    RangeResult,
    WatchedEvent,
    prefix_end,
)
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import too_large
from kubelab.machinery.journal import current_cause
from kubelab.machinery.metrics import Histogram
from kubelab.machinery.request import Encoded, Obj
from kubelab.units.catalogue import Kind

ROOT = "/registry/"
EVENT_TTL_S, LEASE_SHARED_S = 3600, 60
SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
ETCD_SECONDS = Histogram("etcd_request_duration_seconds", "Etcd request latency in seconds for each operation and "
                         "object type.", ("operation", "group", "resource"), SECONDS)
ALLOCATION = b'{"kind":"RangeAllocation","apiVersion":"v1","metadata":{"resourceVersion":""},"range":"","data":""}'
MAX_REQUEST_BYTES = 3 * 512 * 1024  # that etcd takes
TXN_OPS = 100  # etcd takes 128 at most
ATTEMPTS = 20  # to write before others do
T = TypeVar("T")
PLACEHOLDER = b'"resourceVersion":""'
# Kinds that Kubernetes keeps under an older name than their plural.
KEY_OF_PLURAL = {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions",
                 "ingresses": "ingress",
                 "customresourcedefinitions": "apiextensions.k8s.io/customresourcedefinitions"}


class Contended(Exception):
    """Another server has allocated since the claim was made: what was chosen may be taken."""


class Claim(NamedTuple):
    """Says that what is about to be stored was chosen knowing every allocation up to `revision` of a key."""

    key: str
    revision: int


class Changed(Exception):
    """The object is not as it was when it was read: someone else wrote first."""


def headed(obj: Obj) -> Obj:
    """Return an object that begins with kind and apiVersion, which a list cuts off the front of its bytes."""
    first, second, *_ = obj
    if (first, second) == ("kind", "apiVersion"):
        return obj
    return {"kind": obj["kind"], "apiVersion": obj["apiVersion"], **obj}


class Storage(Freshness):
    """Every collection of the cluster over one etcd."""

    def __init__(self, etcd: EtcdApi, kinds: Iterable[Kind], clock: Clock) -> None:
        super().__init__(etcd, ROOT)
        self._clock = clock
        self._lease = (0, float("-inf"))  # of Events: its id, and until when new ones take it
        self.collections: dict[tuple[str, str], Collection] = {}
        self._by_prefix: dict[str, Collection | Hub] = {}
        self._custom: dict[str, tuple[bytes, int]] = {}  # value and revision of every key of no built-in kind
        self._writing: dict[str, tuple[bytes, Obj, int | None]] = {}  # by etcd key: value, object, cause
        self._following = Following(etcd, ROOT, clock, revision=lambda: self.revision, on_events=self._follow,
                                    on_progress=self.is_at, relisted=self._catch_up)
        for kind in kinds:
            prefix = f"{ROOT}{KEY_OF_PLURAL.get(kind.plural, kind.plural)}/"
            self.collections[kind.group, kind.plural] = self._by_prefix[prefix] = Collection(kind, prefix)

    def of(self, group: str, plural: str) -> Collection:
        return self.collections[group, plural]

    async def start(self) -> None:
        """Read everything there is, then follow etcd from that revision on."""
        found = await self._following.list()
        for kv in found.kvs:
            full_key = kv.key.decode()
            place = self._place(full_key)
            if place is not None:
                collection, key = place
                collection.load(key, stored(kv.value, kv.mod_revision))
            else:
                self._custom[full_key] = (kv.value, kv.mod_revision)
        self.revision = found.revision
        for collection in self.collections.values():
            collection.floor = collection.latest = found.revision
        self._following.open()

    def stop(self) -> None:
        """End the etcd watch and every watch of a client."""
        self._following.close()
        self.end_watches()

    def end_watches(self) -> None:
        """Let every watch of a client end in good order."""
        for collection in self.collections.values():
            for watcher in collection.fanout:
                watcher.close()

    def adopt(self, hub: Hub) -> None:
        """Keep one more resource: take what there is of it, and follow it from now on."""
        for full_key, (value, revision) in self._custom.items():
            if full_key.startswith(hub.prefix):
                hub.load(full_key[len(hub.prefix):], stored(value, revision))
        for version, collection in hub.versions.items():
            collection.floor = collection.latest = self.revision
            self.collections[f"{collection.kind.group}/{version}", collection.kind.plural] = collection
        self._by_prefix[hub.prefix] = hub

    def abandon(self, hub: Hub) -> None:
        """Follow a resource no more; its objects stay for whoever adopts it next."""
        self._by_prefix.pop(hub.prefix, None)
        for version, collection in hub.versions.items():
            self.collections.pop((f"{collection.kind.group}/{version}", collection.kind.plural), None)

    def _place(self, key: str) -> tuple[Collection | Hub, str] | None:
        """Return the collection an etcd key belongs to, and the key within it."""
        parts = key.split("/", 4)
        for depth in (4, 3):
            prefix = "/".join(parts[:depth]) + "/"
            collection = self._by_prefix.get(prefix)
            if collection is not None:
                return collection, key[len(prefix):]
        return None

    def _follow(self, events: list[WatchedEvent]) -> None:
        for event in events:
            revision = event.kv.mod_revision
            full_key = event.kv.key.decode()
            place = self._place(full_key)
            if place is None or isinstance(place[0], Hub):
                self._keep_custom(full_key, event)
            if place is not None:
                collection, key = place
                body = None if event.type == "DELETE" else self._body(full_key, event.kv.value, revision)
                ours = self._writing.get(full_key)
                collection.apply(revision, key, body, ours[2] if ours is not None else None)
            self.revision = revision
        self.is_at(self.revision)

    def _catch_up(self, found: RangeResult) -> None:
        """Become what a fresh list says; open watches are told the difference, those from before it get 410."""
        there = {kv.key.decode(): kv for kv in found.kvs}
        known = {f"{c.prefix}{key}": revision_of(body) for c in self._by_prefix.values() if isinstance(c, Collection)
                 for key, body in c.objects.items()} | {key: revision for key, (_, revision) in self._custom.items()}
        changed = sorted((kv for key, kv in there.items() if known.get(key) != kv.mod_revision),
                         key=lambda kv: kv.mod_revision)
        gone = [KeyValue(key.encode(), b"", 0, found.revision, 0) for key in known if key not in there]
        self._follow([*(WatchedEvent("PUT", kv, None) for kv in changed),
                      *(WatchedEvent("DELETE", kv, None) for kv in gone)])
        for collection in self.collections.values():
            collection.forget(found.revision)
        self.is_at(found.revision)

    def _keep_custom(self, full_key: str, event: WatchedEvent) -> None:
        if event.type == "DELETE":
            self._custom.pop(full_key, None)
        else:
            self._custom[full_key] = (event.kv.value, event.kv.mod_revision)

    def _body(self, key: str, value: bytes, revision: int) -> Encoded:
        """Take the dict that was just written, when these are its bytes; decode a write of anybody else."""
        ours = self._writing.get(key)
        return stored(value, revision, ours[1] if ours is not None and ours[0] == value else None)

    def claim(self, what: str) -> Claim:
        """Begin to choose from what all servers share: no other choice is stored between now and the write."""
        key = f"{ROOT}ranges/{what}"
        return Claim(key, self._custom.get(key, (b"", 0))[1])

    async def create(self, collection: Collection, key: str, obj: Obj, claim: Claim | None = None) -> Encoded:
        """Store a new object, which from then on nobody may change. Raises `Changed` when the key is taken."""
        return await self._put(collection, key, obj, 0, claim)

    async def update(self, collection: Collection, key: str, obj: Obj, old: Encoded,
                     claim: Claim | None = None) -> Encoded:
        """Replace `old` by a new object. Raises `Changed` when `old` is no longer what is stored."""
        return await self._put(collection, key, obj, revision_of(old), claim)

    async def _put(self, collection: Collection, key: str, obj: Obj, expected: int, claim: Claim | None) -> Encoded:
        full_key = collection.prefix + key
        etcd_key = full_key.encode()
        if collection.kind.own is not None:
            obj = await collection.inward(obj)
        obj = headed(obj)
        obj["metadata"]["resourceVersion"] = ""
        value = orjson.dumps(obj)
        if len(etcd_key) + len(value) > MAX_REQUEST_BYTES:
            raise too_large("etcdserver: request is too large")
        lease = await self._event_lease() if collection.kind.builtin == "events" else 0
        self._writing[full_key] = (value, obj, current_cause.get())
        began = perf_counter()
        try:
            guard, put = Compare(etcd_key, "mod", "=", expected), Put(etcd_key, value, lease)
            if claim is None:
                result = await self.etcd.txn((guard,), (put,))  # the commit
            else:
                result = await self.etcd.txn((guard, Compare(claim.key.encode(), "mod", "=", claim.revision)),
                                             (put, Put(claim.key.encode(), ALLOCATION)))
            await self.reached(result.revision)
        finally:
            self._writing.pop(full_key, None)
            ETCD_SECONDS.observe(("update" if expected else "create", *collection.group_resource),
                                 perf_counter() - began)
        if not result.succeeded:
            raise Contended if claim is not None and claim != self.claim(claim.key.rpartition("/")[2]) else Changed
        if collection.lags:
            await collection.settled()
        body = collection.objects.get(key)
        if body is None or revision_of(body) != result.revision:  # overtaken while the answer was on its way
            return collection.decoded(stored(value, result.revision))
        return body

    async def _event_lease(self) -> int:
        """Return the lease that ends Events after an hour; those of one minute share it, as in kube-apiserver."""
        now = self._clock.monotonic()
        if now >= self._lease[1]:
            self._lease = (await self.etcd.lease_grant(EVENT_TTL_S), now + LEASE_SHARED_S)
        return self._lease[0]

    async def delete(self, collection: Collection, key: str, old: Encoded) -> int:
        """Remove an object; return the revision of its end. Raises `Changed` as `update` does."""
        full_key = collection.prefix + key
        etcd_key = full_key.encode()
        self._writing[full_key] = (b"", {}, current_cause.get())
        began = perf_counter()
        try:
            result = await self.etcd.txn((Compare(etcd_key, "mod", "=", revision_of(old)),), (DeleteRange(etcd_key),))
            await self.reached(result.revision)
        finally:
            self._writing.pop(full_key, None)
            ETCD_SECONDS.observe(("delete", *collection.group_resource), perf_counter() - began)
        if not result.succeeded:
            raise Changed
        return result.revision

    async def change(self, collection: Collection, key: str, make: Callable[[Obj], Obj | None]) -> Encoded | None:
        """Store what `make` makes of an object, again when another writer was faster; return it as it is then.

        An object that nothing holds any more goes. `make` returns None, or what is there, for nothing to write; where
        there is no object, so does this. Raises `Changed` when others are faster every time.
        """
        for _ in range(ATTEMPTS):
            old = collection.objects.get(key)
            new = make(old.obj) if old is not None else None
            if old is None or new is None or new == old.obj:
                return old
            try:
                if not is_finished(new):
                    return await self.update(collection, key, new, old)
                await self.delete(collection, key, old)
                return Encoded(new, orjson.dumps(new))
            except Changed:
                continue
        raise Changed

    async def create_missing(self, objects: list[tuple[Collection, str, Obj]]) -> None:
        """Store several new objects, in few transactions; what exists is left alone (bootstrap)."""
        ops: list[Put] = []
        for collection, key, obj in objects:
            obj["metadata"]["resourceVersion"] = ""
            value = orjson.dumps(obj)
            self._writing[collection.prefix + key] = (value, obj, None)
            ops.append(Put((collection.prefix + key).encode(), value))
        for batch in batched(ops, TXN_OPS):
            result = await self.etcd.txn([Compare(op.key, "mod", "=", 0) for op in batch], batch)
            if not result.succeeded:  # another server begins at the same time
                for op in batch:
                    result = await self.etcd.txn((Compare(op.key, "mod", "=", 0),), (op,))
            await self.reached(result.revision)
        self._writing.clear()

    async def at(self, collection: Collection, namespace: str, revision: int,
                 after: str = "") -> list[tuple[str, Encoded]]:
        """Return a namespace as it was at an earlier revision. Raises `Compacted` when etcd has forgotten it."""
        prefix = (collection.prefix + (f"{namespace}/" if namespace else "")).encode()
        begin = (collection.prefix + after).encode() if after else prefix
        found = await self.etcd.range(begin, prefix_end(prefix), revision=revision)
        cut = len(collection.prefix)
        return [(kv.key.decode()[cut:], collection.decoded(stored(kv.value, kv.mod_revision))) for kv in found.kvs]


def batched(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[at:at + size] for at in range(0, len(items), size))


def stored(value: bytes, revision: int, obj: Obj | None = None) -> Encoded:
    """Make the object of its stored bytes: splice the revision in, decode when there is no dict yet."""
    text = str(revision)
    if obj is not None:
        obj["metadata"]["resourceVersion"] = text
    else:
        obj = orjson.loads(value)
        if "resourceVersion" not in obj["metadata"]:  # written by another hand than ours
            obj["metadata"]["resourceVersion"] = ""
            value = orjson.dumps(obj)
        obj["metadata"]["resourceVersion"] = text
    return Encoded(obj, value.replace(PLACEHOLDER, b'"resourceVersion":"%b"' % text.encode(), 1))


def is_finished(obj: Obj) -> bool:
    """Say whether nothing holds a terminating object any more."""
    metadata = obj["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("finalizers") \
        and not metadata.get("deletionGracePeriodSeconds") and not keeps_content(obj)


def keeps_content(obj: Obj) -> bool:
    """Say whether this is a Namespace whose content is still to be removed."""
    return (obj["kind"], obj["apiVersion"]) == ("Namespace", "v1") and bool((obj.get("spec") or {}).get("finalizers"))


def revision_of(body: Encoded) -> int:
    return int(body.obj["metadata"]["resourceVersion"])

