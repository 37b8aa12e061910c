"""The KV service: range, put, delete, transactions, compaction.

    request ─► check ─► value ─► store ─► answer with the revision at which it happened

Invariant: the header of a write has the revision of that write, however many come after it: locks rely on it.
Models:    etcdserver's api/v3rpc/key.go
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from kubelab.control_plane.etcd.api import DeleteResult, PutResult
from kubelab.control_plane.etcd.server_api import EtcdServer
from kubelab.control_plane.etcd.wire import checks, convert
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message, header
from kubelab.control_plane.etcd.wire.encoded import Encoded
from kubelab.control_plane.etcd.wire.quota import Quota, writes


class KvService:
    """The calls of etcdserverpb.KV on one store."""

    def __init__(self, etcd: EtcdServer, encoded: Encoded, quota: Quota) -> None:
        self._etcd, self._encoded, self._quota = etcd, encoded, quota
        self.calls = {"Range": self.range, "Put": self.put, "DeleteRange": self.delete_range, "Txn": self.txn,
                      "Compact": self.compact}
        self.streams: dict[str, Callable[[AsyncIterator[Message]], AsyncIterator[Message]]] = {}

    async def range(self, request: Message) -> bytes:
        checks.check_range(request)
        result = await self._etcd.read(convert.range_of(request))
        return self._encoded.range(result, header(self._etcd, result.revision), passing=request.keys_only)

    async def put(self, request: Message) -> Message:
        checks.check_put(request)
        checks.check_size(request)
        await self._quota.admit(request.ByteSize())
        done = await self._etcd.txn((), (convert.put_of(request),))
        result = done.responses[0]
        assert isinstance(result, PutResult)
        return convert.put_message(result, header(self._etcd, done.revision))

    async def delete_range(self, request: Message) -> Message:
        checks.check_delete(request)
        checks.check_size(request)
        done = await self._etcd.txn((), (convert.delete_of(request),))
        result = done.responses[0]
        assert isinstance(result, DeleteResult)
        return convert.delete_message(result, header(self._etcd, done.revision))

    async def txn(self, request: Message) -> Message:
        checks.check_txn(request)
        checks.check_size(request)
        if writes(request):
            await self._quota.admit(request.ByteSize())
        result = await self._etcd.txn(*convert.txn_of(request))
        return convert.txn_message(result, header(self._etcd, result.revision))

    async def compact(self, request: Message) -> Message:
        """Compact; here what is forgotten is gone at once, so `physical` waits for nothing further."""
        await self._etcd.compact(request.revision)
        return pb.CompactionResponse(header=header(self._etcd))
