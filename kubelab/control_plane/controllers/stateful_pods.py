"""The hands of the StatefulSet controller: they make a pod after its claims, keep both as they should be, give pods up.

    make ─► claims ─► pod          keep ─► labels, lost claims, whose the claims are          give_up ─► pod

Invariant: what is done or could not be done is told in an Event of the set.
Models:    pkg/controller/statefulset, stateful_pod_control.go
"""

from __future__ import annotations

from collections.abc import Collection

from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.client.recorder import EventRecorder
from kubelab.control_plane.controllers.replica_plan import pod_from
from kubelab.control_plane.controllers.stateful_claims import claims_of, is_left_over, owners_of
from kubelab.control_plane.controllers.stateful_plan import (
    INDEX_LABEL,
    NAME_LABEL,
    is_ended,
    ordinal_of,
    ordinals,
    pod_of,
)
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import is_terminating, key_of, owner_reference
from kubelab.machinery.request import Obj

CLAIMS = "persistentvolumeclaims"


class StatefulPods:
    def __init__(self, client: Client, claims: Informer, recorder: EventRecorder) -> None:
        self.client, self.claims, self.recorder = client, claims, recorder

    async def make(self, stateful: Obj, template: Obj, ordinal: int, revision: str) -> None:
        """Make a pod, its claims first."""
        namespace = stateful["metadata"]["namespace"]
        base = pod_from(stateful, template, owner_reference(stateful, "StatefulSet", "apps/v1"))
        pod = pod_of(stateful, base, ordinal, revision)
        await self._make_claims(stateful, ordinal)
        try:
            await self.client.create("pods", pod, namespace)
        except ApiError as error:
            self._tell(stateful, "Create", pod, error)
            raise
        self._tell(stateful, "Create", pod)

    def waits_for_claims(self, stateful: Obj, ordinal: int, uids: Collection[str]) -> bool:
        """Say whether a pod cannot be made yet, because claims of the one before it have still to go."""
        name = f"{stateful['metadata']['name']}-{ordinal}"
        stored = (self.claims.get(key_of(claim)) for claim in claims_of(stateful, ordinal))
        return any(claim is not None and is_left_over(claim, name, uids) for claim in stored)

    async def _make_claims(self, stateful: Obj, ordinal: int) -> None:
        pod = f"{stateful['metadata']['name']}-{ordinal}"
        for wanted in claims_of(stateful, ordinal):
            if self.claims.get(key_of(wanted)) is not None:
                continue
            what = f"Claim {wanted['metadata']['name']} Pod {pod}"
            try:
                await self.client.create(CLAIMS, wanted, stateful["metadata"]["namespace"])
            except ApiError as error:
                if error.code != 409:
                    self._say(stateful, "Create", what, error)
                    raise
            else:
                self._say(stateful, "Create", what)

    async def keep(self, stateful: Obj, pod: Obj) -> None:
        """Put right what of a pod and its claims is not as it should be."""
        ordinal = ordinal_of(stateful, pod)
        if ordinal is None or is_ended(pod) or is_terminating(pod):
            return
        if (pod.get("status") or {}).get("phase") == "Pending" and ordinal in ordinals(stateful):
            await self._make_claims(stateful, ordinal)
        for wanted in claims_of(stateful, ordinal):
            stored = self.claims.get(key_of(wanted))
            if stored is not None:
                await self._hand_over(stored, owners_of(stored, stateful, pod, ordinal in ordinals(stateful)))
        labels = pod["metadata"].get("labels") or {}
        own = {NAME_LABEL: pod["metadata"]["name"], INDEX_LABEL: str(ordinal)}
        if not own.items() <= labels.items():
            await self.client.update("pods", {**pod, "metadata": {**pod["metadata"], "labels": {**labels, **own}}})
            self._tell(stateful, "Update", pod)

    async def _hand_over(self, claim: Obj, owners: list[Obj]) -> None:
        if owners == (claim["metadata"].get("ownerReferences") or []):
            return
        try:
            await self.client.update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "ownerReferences": owners}})
        except ApiError as error:
            if error.code != 404:
                raise

    async def give_up(self, stateful: Obj, pod: Obj) -> bool:
        """Delete a pod; return False when it has gone already."""
        meta = pod["metadata"]
        if is_ended(pod) and ordinal_of(stateful, pod) in ordinals(stateful):
            self._tell_ended(stateful, pod)
        try:
            await self.client.delete("pods", meta["name"], meta["namespace"], uid=meta["uid"])
        except ApiError as error:
            if error.code == 404:
                return False
            self._tell(stateful, "Delete", pod, error)
            raise
        self._tell(stateful, "Delete", pod)
        return True

    def _tell_ended(self, stateful: Obj, pod: Obj) -> None:
        type_, how = ("Warning", "failed") if pod["status"]["phase"] == "Failed" else ("Normal", "terminated")
        self.recorder.event(stateful, type_, f"Recreating{how.title()}Pod", f"StatefulSet {key_of(stateful)} is "
                            f"recreating {how} Pod {pod['metadata']['name']}")

    def _tell(self, stateful: Obj, verb: str, pod: Obj, error: ApiError | None = None) -> None:
        self._say(stateful, verb, f"Pod {pod['metadata']['name']}", error)

    def _say(self, stateful: Obj, verb: str, what: str, error: ApiError | None = None) -> None:
        where = f"in StatefulSet {stateful['metadata']['name']}"
        if error is None:
            self.recorder.event(stateful, "Normal", f"Successful{verb}", f"{verb} {what} {where} "
                                + ("successful" if what.startswith("Pod") else "success"))
        else:
            self.recorder.event(stateful, "Warning", f"Failed{verb}", f"{verb} {what} {where} failed error: {error}")
