"""What ReplicaSet and ReplicationController share: keep `spec.replicas` live pods for each owner.

    Pod event ─► its owner's key ─┐
    own event ─► its own key ─────┴─► workqueue ─► reconcile(key) ─► create or delete pods ─► status

A burst of pod events is answered by few reconciles: the larger the set, the longer events wait to be taken together.

Invariant: pods are created or deleted here, never edited; with unmet expectations nothing is created or deleted.
Models:    pkg/controller/replicaset (which serves replication controllers too)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.expectations import Expectations
from kubelab.control_plane.controllers.pods import POD_INDEXERS
from kubelab.control_plane.controllers.replica_plan import Plan, plan_replicas, pod_from, status_of, tally
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector
from kubelab.units import find

SLOW_START = 1  # size of the first batch of creations; each further batch is twice as large
TOGETHER_S_PER_POD = 0.0001
TOGETHER_FROM_PODS = 50  # smaller sets are reconciled at once


class ReplicaController(Controller):
    """Base of both. A subclass names its kind and reads its selector."""

    resource = ""
    counts_terminating = True

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder) -> None:
        self.client, self.recorder = client, recorder
        self.kind = find(self.resource)
        self.owners = informers.of(self.kind, indexers={"controller": POD_INDEXERS["controller"],
                                                        "namespace": POD_INDEXERS["namespace"]})
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.owners, self.pods), workers=5)
        self.expectations = Expectations(clock)
        self.owners.on_event(self._on_owner)
        self.pods.on_event(self._on_pod)

    def selector_of(self, owner: Obj) -> Selector:
        raise AssertionError("a subclass reads its own selector")

    # events
    def _on_owner(self, type_: str, obj: Obj, old: Obj | None) -> None:
        key = key_of(obj)
        if type_ == "DELETED" or (old is not None and old["metadata"]["uid"] != obj["metadata"]["uid"]):
            self.expectations.forget(key)
        if old is None or type_ == "DELETED" or old["metadata"].get("generation") != obj["metadata"].get("generation"):
            self.queue.add(key)
        else:  # mostly our own status coming back: look again, together with the pods' next news
            self.queue.add_after(key, _together_s(obj))

    def _on_pod(self, type_: str, pod: Obj, old: Obj | None) -> None:
        owner = controller_of(pod)
        if old is not None and type_ == "MODIFIED":
            before = controller_of(old)
            if before is not None and (owner is None or owner["uid"] != before["uid"]):
                self._enqueue_owner(pod, before)
        if owner is None:
            self._enqueue_adopters(type_, pod, old)
            return
        key = self._enqueue_owner(pod, owner)
        if key is None:
            return
        dying = is_terminating(pod)
        if type_ == "DELETED" or dying:
            self.expectations.deletion_observed(key, key_of(pod))
        elif type_ == "ADDED":
            self.expectations.creation_observed(key)

    def _enqueue_owner(self, pod: Obj, reference: Obj) -> str | None:
        if reference["kind"] != self.kind.kind or reference["apiVersion"] != self.kind.api_version:
            return None
        key = f"{pod['metadata']['namespace']}/{reference['name']}"
        owner = self.owners.get(key)
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            return None
        self.queue.add_after(key, _together_s(owner))
        return key

    def _enqueue_adopters(self, type_: str, pod: Obj, old: Obj | None) -> None:
        """A pod without a controller: whoever selects it may want it."""
        if type_ == "DELETED":
            return
        labels = pod["metadata"].get("labels") or {}
        if not labels or (old is not None and controller_of(old) is None
                          and old["metadata"].get("labels") == pod["metadata"].get("labels")):
            return
        for owner in self.owners.by_index("namespace", pod["metadata"]["namespace"]):
            if self.selector_of(owner).matches(labels):
                self.queue.add(key_of(owner))

    # the verb
    async def reconcile(self, key: str) -> None:
        owner = self.owners.get(key)
        if owner is None:
            self.expectations.forget(key)
            return
        may_act = self.expectations.satisfied(key)  # asked before the pods are looked at, not after
        namespace, uid = owner["metadata"]["namespace"], owner["metadata"]["uid"]
        candidates = [*self.pods.by_index("controller", uid), *self.pods.by_index("controller", f"orphan:{namespace}")]
        pods = await claim(self.client, self.kind, owner, self.selector_of(owner), "pods", candidates)
        failure: tuple[str, str] | None = None
        error: Exception | None = None
        if may_act and not is_terminating(owner):
            plan = plan_replicas(owner["spec"].get("replicas", 1), pods, self.clock.now(), self._related(owner, pods))
            try:
                await self._act(key, owner, plan)
            except ApiError as caught:
                error = caught
                failure = ("FailedCreate" if plan.create else "FailedDelete", str(caught))
        await self._report(key, owner, pods, failure)
        if error is not None:
            raise error

    def _related(self, owner: Obj, pods: Sequence[Obj]) -> Sequence[Obj]:
        """Find the pods of all sets with the same controller, such as the revisions of one Deployment."""
        above = controller_of(owner)
        if above is None or len(pods) <= owner["spec"].get("replicas", 1):
            return pods
        return [pod for sibling in self.owners.by_index("controller", above["uid"])
                for pod in self.pods.by_index("controller", sibling["metadata"]["uid"])]

    async def _act(self, key: str, owner: Obj, plan: Plan) -> None:
        if plan.create:
            self.expectations.expect_creations(key, plan.create)
            reference = owner_reference(owner, self.kind.kind, self.kind.api_version)
            pod = pod_from(owner, owner["spec"]["template"], reference)
            tried, error = await slow_start(plan.create, lambda: self._create(key, owner, pod))
            if error is not None:
                self.expectations.creation_observed(key, plan.create - tried)  # those will never be seen
                raise error
        elif plan.delete:
            self.expectations.expect_deletions(key, [key_of(pod) for pod in plan.delete])
            results = await asyncio.gather(*(self._delete(key, owner, pod) for pod in plan.delete),
                                           return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _create(self, key: str, owner: Obj, pod: Obj) -> None:
        try:
            made = await self.client.create("pods", pod, owner["metadata"]["namespace"])
        except ApiError as error:
            self.expectations.creation_observed(key)
            if "being terminated" in error.message:
                return  # the namespace is going, and this owner with it
            self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _delete(self, key: str, owner: Obj, pod: Obj) -> None:
        meta = pod["metadata"]
        try:
            await self.client.delete("pods", meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            self.expectations.deletion_observed(key, key_of(pod))
            if error.code != 404:
                self.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            return
        self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")

    async def _report(self, key: str, owner: Obj, pods: Sequence[Obj], failure: tuple[str, str] | None) -> None:
        now = self.clock.now()
        labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
        counts = tally(pods, labels, owner["spec"].get("minReadySeconds", 0), now)
        status = status_of(owner, counts, failure, now, terminating=self.counts_terminating)
        if counts.next_s is not None:
            self.queue.add_after(key, counts.next_s)
        if status == owner.get("status"):
            return
        await write_status(self.client, self.kind.qualified, owner, status)


def _together_s(owner: Obj) -> float:
    """Return how long news of this owner's pods wait for more."""
    size: int = owner["spec"].get("replicas", 1)
    return size * TOGETHER_S_PER_POD if size >= TOGETHER_FROM_PODS else 0.0


async def write_status(client: Client, resource: str, owner: Obj, status: dict[str, Any]) -> Obj | None:
    """Write a status that was worked out from `owner`; None when the object has gone. Raises Conflict."""
    try:
        return await client.update(resource, {**owner, "status": status}, subresource="status")
    except ApiError as error:
        if error.code == 404:
            return None
        raise


async def slow_start(count: int, make: Callable[[], Coroutine[Any, Any, None]]) -> tuple[int, BaseException | None]:
    """Call `make` in batches of 1, 2, 4 ...; stop after a batch with an error. Return how many were tried, and it.

    A quota that is used up, or a template that is refused, so costs one call and not a thousand.
    """
    tried, batch = 0, min(count, SLOW_START)
    while batch:
        results = await asyncio.gather(*(make() for _ in range(batch)), return_exceptions=True)
        tried += batch
        for result in results:
            if isinstance(result, BaseException):
                return tried, result
        batch = min(2 * batch, count - tried)
    return tried, None
