"""Brings pod statuses to the API server: the newest status per pod, one write at a time.

    pod worker ─► set(pod, status) ─► {uid: newest} ─► patch pods/status
                  finish(pod) ──────► the last status ─► DELETE with grace 0 and the pod's uid

Invariant: a status that was overtaken before its turn is never written.
Models:    pkg/kubelet/status.Manager
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kubelab.client.client import Client
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.pod_status import status_patch

log = logging.getLogger("kubelab.kubelet")
RETRY_S = 1.0


@dataclass(slots=True)
class _Entry:
    pod: Obj
    written: Obj  # the status as the API server has it, as far as we know
    wanted: Obj
    finish: bool = False
    version: int = 0  # resourceVersion of our last write: what the watch shows of older ones is history


class StatusWriter:
    """One queue of statuses for one kubelet."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.writes = 0
        self._entries: dict[str, _Entry] = {}
        self._dirty: dict[str, None] = {}  # uids in the order they wait
        self._wake = asyncio.Event()

    def set(self, pod: Obj, status: Obj) -> None:
        """Have `status` written, unless the API server has it already."""
        uid = pod["metadata"]["uid"]
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, pod.get("status", {}), status)
        entry.pod, entry.wanted = pod, status
        if entry.wanted != entry.written or entry.finish:
            self._dirty[uid] = None
            self._wake.set()

    def latest(self, uid: str) -> Obj | None:
        """Return the status that was last decided for this pod."""
        entry = self._entries.get(uid)
        return entry.wanted if entry is not None else None

    def observe(self, pod: Obj) -> None:
        """Look at the pod as the API server has it: what someone else wrote into its status is set right again."""
        entry = self._entries.get(pod["metadata"]["uid"])
        if entry is None or int(pod["metadata"]["resourceVersion"]) <= entry.version:
            return
        entry.pod, entry.written = pod, pod.get("status", {})
        if status_patch(entry.written, entry.wanted):
            self._dirty[pod["metadata"]["uid"]] = None
            self._wake.set()

    def finish(self, pod: Obj) -> None:
        """The pod's containers are gone: write its last status and remove it from the API."""
        uid = pod["metadata"]["uid"]
        entry = self._entries.get(uid)
        if entry is None:
            status = pod.get("status", {})
            entry = self._entries[uid] = _Entry(pod, status, status)
        entry.finish = True
        self._dirty[uid] = None
        self._wake.set()

    def forget(self, uid: str) -> None:
        self._entries.pop(uid, None)
        self._dirty.pop(uid, None)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                uid = next(iter(self._dirty))
                del self._dirty[uid]
                entry = self._entries.get(uid)
                if entry is not None:
                    await self._bring(uid, entry)

    async def _bring(self, uid: str, entry: _Entry) -> None:
        try:
            await self._write(entry)
            if entry.finish:
                await self._delete(uid, entry)
        except ApiError as error:
            if error.code in (404, 409):  # gone, or another pod of that name: nothing is owed any more
                self.forget(uid)
                return
            self._again(uid, repr(error))
        except OSError as error:
            self._again(uid, repr(error))

    def _again(self, uid: str, why: str) -> None:
        log.debug("status of pod %s not written, tried again: %s", uid, why)

        def retry() -> None:
            if uid in self._entries:
                self._dirty[uid] = None
                self._wake.set()

        self.clock.call_later(RETRY_S, retry)

    async def _write(self, entry: _Entry) -> None:
        wanted = entry.wanted
        patch = status_patch(entry.written, wanted)
        if not patch:
            return
        meta = entry.pod["metadata"]
        body = {"metadata": {"uid": meta["uid"]}, "status": patch}
        stored = await self.client.patch("pods", meta["name"], body, meta["namespace"], type="strategic",
                                         subresource="status")
        entry.written, entry.version = wanted, int(stored["metadata"]["resourceVersion"])
        self.writes += 1

    async def _delete(self, uid: str, entry: _Entry) -> None:
        meta = entry.pod["metadata"]
        await self.client.delete("pods", meta["name"], meta["namespace"], grace_period_s=0, uid=uid)
        self.forget(uid)
