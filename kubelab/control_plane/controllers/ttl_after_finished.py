"""TTL after finished: a Job that is over goes when its time is up.

    Job event ─► over, with ttlSecondsAfterFinished? ─► wait ─► ask the API server ─► delete, pods first

Invariant: the API server itself is asked before a job is deleted: its time may have been prolonged.
Models:    kube-controller-manager, ttl-after-finished-controller
"""

from __future__ import annotations

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock, parse_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import get_condition, is_terminating, key_of, split_key
from kubelab.machinery.request import Obj


def expires_in(job: Obj, now: float) -> float | None:
    """Return in how many seconds a job's time is up, None when it is not over or stays for ever."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None or is_terminating(job):
        return None
    for type_ in ("Complete", "Failed"):
        condition = get_condition(job, type_)
        if condition is not None and condition["status"] == "True":
            return float(parse_timestamp(condition["lastTransitionTime"]) + ttl_s - now)
    return None


class TtlAfterFinishedController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal) -> None:
        self.client, self.jobs = client, informers.of("jobs.batch")
        super().__init__(name, clock=clock, journal=journal, informers=(self.jobs,))
        self.jobs.on_event(self._on_job)

    def _on_job(self, type_: str, job: Obj, old: Obj | None) -> None:
        left_s = expires_in(job, self.clock.now()) if type_ != "DELETED" else None
        if left_s is not None:
            self.queue.add_after(key_of(job), max(left_s, 0.0))

    async def reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        try:
            job = await self.client.get("jobs.batch", name, namespace)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        left_s = expires_in(job, self.clock.now())
        if left_s is None:
            return
        if left_s > 0:
            self.queue.add_after(key, left_s)
            return
        await self.client.delete("jobs.batch", name, namespace, propagation="Foreground", uid=job["metadata"]["uid"])
