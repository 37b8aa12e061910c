"""Long random sequences of etcd calls, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from kubelab.control_plane.etcd.wire import stubs as pb

from .client import cancel, create

KEYS = [b"k%d" % i for i in range(8)]  # few: Go sorts up to twelve stably, so even ties come out alike
LEASES = (11, 12, 13)


class Step(NamedTuple):
    """One call, or with service "Watch" one message on the stream."""

    service: str
    method: str
    request: Any


class Sequence:
    """A random walk; `revision` is what the walker knows of the store, so that it asks of times that exist."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.revision = 1
        self.watches: set[int] = set()
        self.compacted = 0
        self.begun = 1 << 60  # the oldest revision from which a watch was begun

    def steps(self, count: int) -> Iterator[Step]:
        weighted = [(self.put, 10), (self.range, 8), (self.delete, 4), (self.txn, 8), (self.compact, 1),
                    (self.grant, 1), (self.revoke, 1), (self.time_to_live, 1), (self.watch, 2), (self.unwatch, 1)]
        makers, weights = zip(*weighted, strict=True)
        for _ in range(count):
            yield self.random.choices(makers, weights)[0]()

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _some_revision(self) -> int:
        return self.random.choice((0, 0, 0, self.revision, self.random.randint(1, self.revision + 2)))

    def _span(self) -> dict[str, bytes]:
        key = self.random.choice(KEYS)
        end = self.random.choice((b"", b"", b"k9", b"\0", self.random.choice(KEYS)))
        return {"key": key, "range_end": end}

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self) -> Any:
        request = pb.PutRequest(key=self.random.choice(KEYS), prev_kv=self._chance(0.3))
        if self._chance(0.9):
            request.value = b"v%d" % self.random.randrange(5)
        if self._chance(0.2):
            request.lease = self.random.choice((*LEASES, 99))
        request.ignore_value, request.ignore_lease = self._chance(0.08), self._chance(0.08)
        if request.ignore_value and not request.ignore_lease:
            request.lease = 0  # of two faults a real etcd names another one in a put than in a transaction
        return request

    def _range(self) -> Any:
        request = pb.RangeRequest(**self._span(), revision=self._some_revision(), count_only=self._chance(0.1),
                                  keys_only=self._chance(0.2), serializable=self._chance(0.3))
        if self._chance(0.4):
            request.limit = self.random.randint(1, 4)
        if self._chance(0.5):
            request.sort_order, request.sort_target = self.random.randrange(3), self.random.randrange(5)
        for bound in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            if self._chance(0.1):
                setattr(request, bound, self.random.randint(1, self.revision + 1))
        return request

    def _delete(self) -> Any:
        return pb.DeleteRangeRequest(**self._span(), prev_kv=self._chance(0.5))

    def _compare(self) -> Any:
        compare = pb.Compare(key=self.random.choice(KEYS), target=self.random.choice((0, 1, 2, 3, 4, 4, 7)),
                             result=self.random.choice((0, 1, 2, 3, 3, 9)))
        field = self.random.choice(("version", "create_revision", "mod_revision", "value", "lease", None))
        if self._chance(0.8):
            field = ("version", "create_revision", "mod_revision", "value", "lease")[compare.target % 5]
        if field == "value":
            compare.value = b"v%d" % self.random.randrange(5)
        elif field == "lease":
            compare.lease = self.random.choice((0, *LEASES))
        elif field == "version":
            compare.version = self.random.randrange(4)
        elif field is not None:
            setattr(compare, field, self.random.randint(0, self.revision))
        if self._chance(0.3):
            compare.range_end = self.random.choice((b"k9", b"\0", self.random.choice(KEYS)))
        return compare

    def _txn(self, depth: int = 0) -> Any:
        def ops() -> list[Any]:
            return [self._op(depth) for _ in range(self.random.choice((0, 1, 1, 2, 3)))]

        return pb.TxnRequest(compare=[self._compare() for _ in range(self.random.choice((0, 1, 1, 2)))],
                             success=ops(), failure=ops())

    def _op(self, depth: int) -> Any:
        kind = self.random.choices(("put", "range", "delete", "txn"), (5, 3, 2, 2 if depth < 2 else 0))[0]
        if kind == "put":
            return pb.RequestOp(request_put=self._put())
        if kind == "range":
            return pb.RequestOp(request_range=self._range())
        if kind == "delete":
            request = self._delete()
            if request.range_end == b"\0":
                request.range_end = b"l"  # a real etcd falls over a put with ignore_value after a delete to the end
            return pb.RequestOp(request_delete_range=request)
        return pb.RequestOp(request_txn=self._txn(depth + 1))

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self) -> Step:
        return Step("KV", "Put", self._put())

    def range(self) -> Step:
        return Step("KV", "Range", self._range())

    def delete(self) -> Step:
        return Step("KV", "DeleteRange", self._delete())

    def txn(self) -> Step:
        return Step("KV", "Txn", self._txn())

    def compact(self) -> Step:
        """Compact; never past the begin of a watch, which a real etcd looks at in its own time, ten times a second."""
        revision = min(self.random.randint(max(1, self.revision - 30), self.revision + 1), self.begun)
        if revision <= self.revision:
            self.compacted = max(self.compacted, revision)
        return Step("KV", "Compact", pb.CompactionRequest(revision=revision, physical=self._chance(0.5)))

    def grant(self) -> Step:
        return Step("Lease", "LeaseGrant", pb.LeaseGrantRequest(ID=self.random.choice(LEASES),
                                                                TTL=self.random.choice((600, 3600, 10_000_000_000))))

    def revoke(self) -> Step:
        return Step("Lease", "LeaseRevoke", pb.LeaseRevokeRequest(ID=self.random.choice(LEASES)))

    def time_to_live(self) -> Step:
        if self._chance(0.3):
            return Step("Lease", "LeaseLeases", pb.LeaseLeasesRequest())
        return Step("Lease", "LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=self.random.choice((*LEASES, 99)),
                                                                          keys=self._chance(0.7)))

    def watch(self) -> Step:
        watch_id = self.random.randint(1, 20)
        self.watches.add(watch_id)
        start = self._some_revision()
        if start >= self.compacted:
            self.begun = min(self.begun, start or self.revision)
        filters = [number for number in (0, 1) if self._chance(0.15)]
        return Step("Watch", "create", create(**self._span(), watch_id=watch_id, prev_kv=self._chance(0.4),
                                              start_revision=start, filters=filters,
                                              fragment=self._chance(0.2)))

    def unwatch(self) -> Step:
        return Step("Watch", "cancel", cancel(self.random.choice([*self.watches, 99])))
