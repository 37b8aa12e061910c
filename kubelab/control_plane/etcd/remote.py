"""The seam over the wire: a real etcd, or kubelab's own in another process.

    txn ─► the member in use ─► answer
              ├─ not sent, no leader ─► the next member
              └─ sent, no answer ─► is it there? ─┬─ yes ─► that is the answer
                                                  └─ no ──► send it again: its compare lets it happen once

Invariant: a write is carried out once or not at all; where nobody can know, the caller is told so.
Models:    etcd's clientv3 as kube-apiserver uses it
Left out:  users and roles
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import grpc.aio

from kubelab.client.component import Component
from kubelab.control_plane.etcd.api import (
    Compare,
    DeleteRange,
    DeleteResult,
    LeaseNotFound,
    OnEvents,
    OnLost,
    OnProgress,
    Op,
    Put,
    PutResult,
    Range,
    RangeResult,
    TxnResult,
    Unavailable,
)
from kubelab.control_plane.etcd.compactor import keep_compact
from kubelab.control_plane.etcd.endpoints import EtcdEndpoints, Members, etcd_error, was_not_done
from kubelab.control_plane.etcd.keyspace import Writes
from kubelab.control_plane.etcd.remote_convert import HOME, Words
from kubelab.control_plane.etcd.remote_watch import RemoteWatch, RemoteWatches
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.machinery.clock import Clock

PATIENCE_S = 10.0  # how long a call goes on looking for a member that answers
AGAIN_S = 0.05
PROGRESS_FROM = (3, 4, 25)  # before it, an answer about progress could overtake events (etcd issue 15220)
TICK = HOME + b"/kubelab.io/tick"
TICK_S = 0.05  # however many ask
KV, LEASE, MAINTENANCE, CLUSTER = (pb.SERVICES[name] for name in ("KV", "Lease", "Maintenance", "Cluster"))
T = TypeVar("T")


class RemoteMember(NamedTuple):
    """One member, as it says itself; sizes in bytes."""

    name: str
    url: str
    role: str
    term: int
    applied: int
    db_size: int
    version: str
    healthy: bool


class RemoteEtcd(Writes, Component):
    """An etcd behind one or several endpoints; see `EtcdApi` for its calls."""

    shared = True

    def __init__(self, endpoints: EtcdEndpoints, clock: Clock) -> None:
        super().__init__("etcd")
        self.endpoints, self._clock = endpoints, clock
        self._words = Words(endpoints.prefix)
        self._members: Members
        self._watches: RemoteWatches
        self._up = self._tells_progress = False
        self._ticked = 0.0
        self.revision, self.compact_revision = 0, 0  # the newest that any answer had; what we compacted to

    async def setup(self) -> None:
        """Reach a member. Raises ConnectionError that names the endpoints."""
        self._members = Members(self.endpoints)
        self._watches = RemoteWatches(self._members, self._words)
        self._up = True
        try:
            status = await self._repeat(lambda: self._members.call(MAINTENANCE["Status"], pb.StatusRequest()))
        except Unavailable as error:
            raise ConnectionError(f"no etcd at {', '.join(self.endpoints.urls)}: {error}. Is it running, and do the "
                                  "scheme and the certificates fit?") from None
        self._tells_progress = tuple(int(n) for n in status.version.split(".")[:3] if n.isdigit()) >= PROGRESS_FROM
        self.spawn(self._watches.run, name="watches")

    async def run(self) -> None:
        """Let etcd forget what is older than five minutes, of several API servers one at a time."""
        await keep_compact(self, self._clock)

    async def teardown(self) -> None:
        if self._up:
            self._up = False
            await self._members.close()

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _repeat(self, call: Callable[[], Awaitable[T]], *, safe: bool = True) -> T:
        """Make a call until a member answers. `safe`: it may happen twice; else only while it surely did not happen."""
        until = time.monotonic() + PATIENCE_S
        while True:
            if not self._up:
                raise Unavailable
            try:
                return await call()
            except Unavailable as error:
                if not (safe or was_not_done(error)) or time.monotonic() > until:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _call(self, method: Any, request: Any) -> Any:
        answer = await self._members.call(method, request)
        self.revision = max(self.revision, answer.header.revision)
        return answer

    async def range(self, key: bytes, range_end: bytes | None = None, *, revision: int = 0, limit: int = 0,
                    count_only: bool = False, keys_only: bool = False) -> RangeResult:
        return await self.read(Range(key, range_end, revision, limit, count_only, keys_only))

    async def read(self, query: Range) -> RangeResult:
        """Read with every option of a Range. Raises Compacted, FutureRevision."""
        request = self._words.range(query)
        return self._words.range_result(await self._repeat(lambda: self._call(KV["Range"], request)))

    async def txn(self, compares: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = ()) -> TxnResult:
        request, until, unsure = self._words.txn(compares, success, failure), time.monotonic() + PATIENCE_S, False
        guarded = not failure and _guarded(compares, success)
        while True:
            try:
                result = self._words.txn_result(
                    await self._repeat(lambda: self._call(KV["Txn"], request), safe=False))
            except Unavailable as error:
                if not guarded or was_not_done(error) or time.monotonic() > until:
                    raise
                unsure = True  # it may have happened, or happen still
                done = await self._find_out(compares[0], success[0], error)
            else:
                done = result
                if unsure and not result.succeeded:  # ours, which was on its way, or somebody else's?
                    done = await self._find_out(compares[0], success[0], None) or result
            if done is not None:
                return done

    async def _find_out(self, guard: Compare, op: Op, error: Unavailable | None) -> TxnResult | None:
        """Look whether a guarded write has happened; None: not so far. Raises `error` where nobody can know."""
        found = await self.range(guard.key)
        kv = found.kvs[0] if found.kvs else None
        if (kv.mod_revision if kv else 0) == guard.value:
            return None
        if isinstance(op, Put) and kv is not None and kv.value == op.value:
            return TxnResult(True, [PutResult(None)], kv.mod_revision)
        if isinstance(op, DeleteRange) and kv is None:
            return TxnResult(True, [DeleteResult(1, [])], found.revision)
        if error is not None:
            raise error
        return None

    # ── watches ──────────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, key: bytes, range_end: bytes | None = None, start_revision: int = 0, *, prev_kv: bool = False,
              on_events: OnEvents, on_progress: OnProgress | None = None,
              on_lost: OnLost | None = None) -> RemoteWatch:
        if not self._up:
            raise Unavailable
        return self._watches.open(key, range_end, start_revision, prev_kv, on_events, on_progress, on_lost)

    def ask_progress(self) -> None:
        self._watches.expect()
        if self._tells_progress:
            self._watches.ask_progress()
        elif self._up and time.monotonic() - self._ticked > TICK_S:
            # a key that every API server's watch covers: once it comes, all before it has come
            self._ticked = time.monotonic()
            self.spawn(self._tick, name="tick")

    async def _tick(self) -> None:
        try:
            await self.put(TICK, b"")
        except Unavailable:
            return  # whoever waits asks again

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────────────

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        request = pb.LeaseGrantRequest(TTL=ttl_s, ID=lease)  # one too many ends by itself
        return int((await self._repeat(lambda: self._call(LEASE["LeaseGrant"], request))).ID)

    async def lease_keepalive(self, lease: int) -> int:
        ttl_s = await self._repeat(lambda: self._beat(lease))
        if ttl_s <= 0:
            raise LeaseNotFound(lease)
        return ttl_s

    async def _beat(self, lease: int) -> int:
        method, channel = LEASE["LeaseKeepAlive"], self._members.channel
        call = channel.stream_stream(method.path, request_serializer=method.request.SerializeToString,
                                     response_deserializer=method.response.FromString)(timeout=PATIENCE_S)
        try:
            await call.write(pb.LeaseKeepAliveRequest(ID=lease))
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise Unavailable("etcdserver: connection closed")
            return int(answer.TTL)
        except grpc.aio.AioRpcError as error:
            self._members.next(channel)
            raise etcd_error(error) from None
        finally:
            call.cancel()

    async def lease_revoke(self, lease: int) -> None:
        await self._repeat(lambda: self._call(LEASE["LeaseRevoke"], pb.LeaseRevokeRequest(ID=lease)), safe=False)

    async def lease_time_to_live(self, lease: int) -> tuple[float, int, list[bytes]]:
        request = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
        answer = await self._repeat(lambda: self._call(LEASE["LeaseTimeToLive"], request))
        if answer.TTL < 0:
            raise LeaseNotFound(lease)
        return float(answer.TTL), answer.grantedTTL, list(answer.keys)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────────────────

    async def compact(self, revision: int) -> None:
        await self._repeat(lambda: self._call(KV["Compact"], pb.CompactionRequest(revision=revision)))
        self.compact_revision = max(self.compact_revision, revision)

    async def members(self) -> list[RemoteMember]:
        """Return each member behind the endpoints, as it says itself, or that it does not answer."""
        known = await self._repeat(lambda: self._call(CLUSTER["MemberList"], pb.MemberListRequest()))
        names = {member.ID: member.name for member in known.members}
        return [await self._about(url, channel, names)
                for url, channel in zip(self.endpoints.urls, self._members.channels, strict=True)]

    async def _about(self, url: str, channel: Any, names: dict[int, str]) -> RemoteMember:
        method = MAINTENANCE["Status"]
        stub = channel.unary_unary(method.path, request_serializer=method.request.SerializeToString,
                                   response_deserializer=method.response.FromString)
        try:
            said = await stub(pb.StatusRequest(), timeout=1.0)
        except grpc.aio.AioRpcError:
            return RemoteMember("", url, "", 0, 0, 0, "", False)
        me = said.header.member_id
        return RemoteMember(names.get(me, ""), url, "leader" if said.leader == me else "follower", said.raftTerm,
                            said.raftIndex, said.dbSize, said.version, bool(said.leader))


def _guarded(compares: Sequence[Compare], ops: Sequence[Op]) -> bool:
    """Say whether this is one write of one key that can happen only while the key is at the revision compared."""
    if len(compares) != 1 or len(ops) != 1 or compares[0][1:3] != ("mod", "="):
        return False
    op = ops[0]
    return isinstance(op, (Put, DeleteRange)) and op.key == compares[0].key and \
        not (isinstance(op, DeleteRange) and op.range_end)
