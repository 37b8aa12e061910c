"""What all controllers that own pods share: whose pod is it, who looks at it next, how one is made and given up.

    Pod event ─► its owner's key ─┐
    own event ─► its own key ─────┴─► workqueue ─► reconcile(key) of the subclass ─► create, delete

A burst of pod events is answered by few reconciles: the larger the set, the longer events wait to be taken together.

Invariant: with unmet expectations a subclass neither creates nor deletes.
Models:    pkg/controller/controller_utils.go (PodControl) and the handlers that every workload controller repeats
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informer, Informers
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.claims import claim
from kubelab.control_plane.controllers.expectations import Expectations
from kubelab.control_plane.controllers.pods import POD_INDEXERS
from kubelab.machinery.clock import Clock
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import controller_of, is_terminating, key_of
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector, from_label_selector
from kubelab.units import find

SLOW_START = 1  # size of the first batch of creations; each further batch is twice as large
TOGETHER_S_PER_POD = 0.0001
TOGETHER_FROM_PODS = 50  # smaller sets are reconciled at once


class PodOwner(Controller):
    """Base of the workload controllers. A subclass names its kind and says what reconcile means."""

    resource = ""

    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 recorder: EventRecorder, others: Iterable[Informer] = ()) -> None:
        self.client, self.recorder = client, recorder
        self.kind = find(self.resource)
        self.owners = informers.of(self.kind, indexers={"controller": POD_INDEXERS["controller"],
                                                        "namespace": POD_INDEXERS["namespace"]})
        self.pods = informers.of("pods", indexers=POD_INDEXERS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.owners, self.pods, *others), workers=5)
        self.expectations = Expectations(clock)
        self.owners.on_event(self._on_owner)
        self.pods.on_event(self._on_pod)

    async def setup(self) -> None:
        self.expectations.forget_all()  # of a batch that a stop cut short the rest will never be seen

    def selector_of(self, owner: Obj) -> Selector:
        return from_label_selector(owner["spec"]["selector"])

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

    # what reconcile is made of
    async def claimed(self, owner: Obj) -> list[Obj]:
        """Return the owner's pods, after adopting and releasing."""
        namespace, uid = owner["metadata"]["namespace"], owner["metadata"]["uid"]
        candidates = [*self.pods.by_index("controller", uid), *self.pods.by_index("controller", f"orphan:{namespace}")]
        return await claim(self.client, self.kind, owner, self.selector_of(owner), "pods", candidates)

    async def delete_all(self, key: str, owner: Obj, pods: Iterable[Obj]) -> None:
        """Give pods up, all at once. Raises what the first that failed raised."""
        doomed = list(pods)
        self.expectations.expect_deletions(key, [key_of(pod) for pod in doomed])
        results = await asyncio.gather(*(self._delete(key, owner, pod) for pod in doomed), return_exceptions=True)
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
