"""The Maintenance service: status, alarms, checksums, snapshots, defragmentation, moving the leadership.

    Snapshot ─► the file in pieces ─► its checksum

Invariant: a snapshot on the wire ends with the sha256 of everything before it, by which etcdctl knows that it is whole.
Models:    etcdserver's api/v3rpc/maintenance.go
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from kubelab.control_plane.etcd.errors import EtcdError
from kubelab.control_plane.etcd.server_api import Alarm, AlarmKind, EtcdServer
from kubelab.control_plane.etcd.snapshot_file import signed
from kubelab.control_plane.etcd.wire import stubs as pb
from kubelab.control_plane.etcd.wire.convert import Message, header

PIECE_BYTES = 32 * 1024
_KINDS: dict[int, AlarmKind] = {1: "NOSPACE", 2: "CORRUPT"}
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2


class MaintenanceService:
    """The calls of etcdserverpb.Maintenance on one store."""

    def __init__(self, etcd: EtcdServer) -> None:
        self._etcd = etcd
        self.calls = {"Status": self.status, "Alarm": self.alarm, "Defragment": self.defragment, "Hash": self.hash,
                      "HashKV": self.hash_kv, "MoveLeader": self.move_leader, "Downgrade": self.downgrade}
        self.streams = {"Snapshot": self.snapshot}

    async def status(self, request: Message) -> Message:
        s = await self._etcd.status()
        return pb.StatusResponse(header=header(self._etcd), version=s.version, dbSize=s.db_size,
                                 dbSizeInUse=s.db_size_in_use, leader=s.leader, raftIndex=s.raft_index,
                                 raftAppliedIndex=s.raft_applied_index, raftTerm=s.raft_term, isLearner=s.learner,
                                 errors=s.errors)

    async def alarm(self, request: Message) -> Message:
        kind = _KINDS.get(request.alarm)
        if request.action == _GET:
            found = [a for a in await self._etcd.alarms()
                     if (kind is None or a.kind == kind) and request.memberID in (0, a.member)]
        elif request.action in (_ACTIVATE, _DEACTIVATE) and kind is not None:
            found = await self._etcd.alarm_set(Alarm(request.memberID, kind), request.action == _ACTIVATE)
        else:
            found = []
        numbers = {kind: number for number, kind in _KINDS.items()}
        return pb.AlarmResponse(header=header(self._etcd), alarms=[
            pb.AlarmMember(memberID=alarm.member, alarm=numbers[alarm.kind]) for alarm in found])

    async def defragment(self, request: Message) -> Message:
        await self._etcd.defragment()
        return pb.DefragmentResponse(header=header(self._etcd))

    async def hash(self, request: Message) -> Message:
        return pb.HashResponse(header=header(self._etcd), hash=(await self._etcd.hash_kv()).value)

    async def hash_kv(self, request: Message) -> Message:
        found = await self._etcd.hash_kv(request.revision)
        answer = pb.HashKVResponse(header=header(self._etcd), hash=found.value, compact_revision=found.compact_revision)
        if "hash_revision" in answer.DESCRIPTOR.fields_by_name:
            answer.hash_revision = found.revision
        return answer

    async def move_leader(self, request: Message) -> Message:
        await self._etcd.move_leader(request.targetID)
        return pb.MoveLeaderResponse(header=header(self._etcd))

    async def downgrade(self, request: Message) -> Message:
        raise EtcdError("etcdserver: kubelab has one version of its store, there is none to go down to")

    async def snapshot(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        async for _ in requests:
            blob = await self._etcd.snapshot()
            for at in range(0, len(blob), PIECE_BYTES):
                piece = blob[at:at + PIECE_BYTES]
                yield pb.SnapshotResponse(header=header(self._etcd), blob=piece,
                                          remaining_bytes=len(blob) - at - len(piece))
            yield pb.SnapshotResponse(header=header(self._etcd), blob=signed(blob))
            return
