"""Wait until an object is as asked, and when it does not come to be, say why not.

    watch one object ─► holds(object)? ─► done
                              └ time-out ─► its descendants, their container states, their Warning events

Invariant: no polling; the object's own watch drives it.
Models:    kubectl wait --for, with the detective work of kubectl describe
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from kubelab.client.client import Client
from kubelab.machinery.errors import ApiError, not_found
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind

Predicate = Callable[[Obj], bool]
OnProgress = Callable[[float, str], None]  # (share done 0..1, what is still missing)


class WaitTimeout(TimeoutError):
    """The wait ran out; the message says what stands in the way."""


def predicate(condition: str | Predicate) -> Predicate:
    """Return the test that `condition` names: a condition type such as Available or Ready, Deleted, or a function."""
    if callable(condition):
        return condition
    wanted, _, value = condition.removeprefix("condition=").partition("=")

    def holds(obj: Obj) -> bool:
        status = obj.get("status") or {}
        if "observedGeneration" in status and status["observedGeneration"] < obj["metadata"].get("generation", 0):
            return False
        found = get_condition(obj, wanted)
        if wanted == "Available" and "replicas" in (obj.get("spec") or {}):
            return _rolled_out(obj) and found is not None and found["status"] == "True"
        return found is not None and found["status"].lower() == (value or "True").lower()

    return holds


def _rolled_out(obj: Obj) -> bool:
    """Return whether the newest template is everywhere: Available alone is true in the middle of a roll-out too."""
    want, status = obj["spec"].get("replicas", 1), obj.get("status") or {}
    if obj["kind"] != "Deployment":
        return bool(status.get("availableReplicas", 0) >= want)
    return bool(status.get("updatedReplicas", 0) >= want
                and status.get("availableReplicas", 0) >= want
                and status.get("replicas", 0) == status.get("updatedReplicas", 0))


def share(obj: Obj) -> tuple[float, str]:
    """Return how far along the object is, 0 to 1, and that in words."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if "replicas" in spec and obj["kind"] in ("Deployment", "ReplicaSet", "ReplicationController"):
        want = spec["replicas"]
        have = min(status.get("availableReplicas", 0), status.get("updatedReplicas", want))
        return (have / want if want else 1.0), f"{have} of {want} available"
    if obj["kind"] == "Pod":
        containers = status.get("containerStatuses") or []
        want = len(spec.get("containers", ()))
        have = sum(1 for c in containers if c.get("ready"))
        return (have / want if want else 0.0), f"{status.get('phase', 'Pending')}, {have} of {want} containers ready"
    return 0.0, "waiting"


async def wait_for(client: Client, kind: Kind, name: str, namespace: str | None, condition: str | Predicate,
                   timeout_s: float, on_progress: OnProgress) -> Obj | None:
    """Return the object once `condition` holds (None for Deleted).

    Raises: WaitTimeout with the reasons found; NotFound when there is no such object to begin with.
    """
    deleted = isinstance(condition, str) and condition.lower() in ("delete", "deleted")
    try:
        async with asyncio.timeout(timeout_s):
            if deleted:
                await _until_deleted(client, kind, name, namespace)
                return None
            return await _until(client, kind, name, namespace, predicate(condition), on_progress)
    except TimeoutError:
        target, shown = f"{kind.kind.lower()}/{name}", condition if isinstance(condition, str) else "the condition"
        reasons = await explain(client, kind, name, namespace)
        text = "\n".join(f"  - {r}" for r in reasons) or "  - nothing in its events or its pods says why"
        raise WaitTimeout(f"{target} is not {shown} after {timeout_s:g} s:\n{text}") from None


async def _until(client: Client, kind: Kind, name: str, namespace: str | None, holds: Predicate,
                 on_progress: OnProgress) -> Obj:
    async for obj in _states(client, kind, name, namespace):
        if obj is None:
            raise not_found(kind.group, kind.plural, name)
        on_progress(*share(obj))
        if holds(obj):
            return obj
    raise AssertionError("the states of an object never end")


async def _until_deleted(client: Client, kind: Kind, name: str, namespace: str | None) -> None:
    async for obj in _states(client, kind, name, namespace):
        if obj is None:
            return


async def _states(client: Client, kind: Kind, name: str, namespace: str | None) -> AsyncIterator[Obj | None]:
    """Yield the object as it is, then at each change, for ever; None while there is no such object."""
    only = f"metadata.name={name}"
    while True:
        listed = await client.list(kind, namespace, field_selector=only)
        yield {"kind": kind.kind} | listed["items"][0] if listed["items"] else None
        try:
            async for event in client.watch(kind, namespace, field_selector=only,
                                            resource_version=listed["metadata"]["resourceVersion"]):
                if event.type != "BOOKMARK":
                    yield None if event.type == "DELETED" else event.obj
        except ApiError as error:
            if error.code != 410:  # Expired: the server forgot this revision; list again
                raise


async def explain(client: Client, kind: Kind, name: str, namespace: str | None) -> list[str]:
    """Return, in plain sentences, what the object, its descendants and their events say is wrong."""
    try:
        obj = await client.get(kind, name, namespace)
    except ApiError as error:
        return [error.message]
    family = await _family(client, obj, namespace) if kind.namespaced else [obj]
    reasons = [r for member in family for r in _conditions(member) + _containers(member)]
    reasons += await _warnings(client, family, namespace)
    return list(dict.fromkeys(reasons))[:12]


async def _family(client: Client, obj: Obj, namespace: str | None) -> list[Obj]:
    members, uids = [obj], {obj["metadata"]["uid"]}
    for plural in ("replicasets.apps", "pods"):
        for item in (await client.list(plural, namespace))["items"]:
            owners = {o["uid"] for o in item["metadata"].get("ownerReferences", ())}
            if owners & uids:
                members.append({"kind": "Pod" if plural == "pods" else "ReplicaSet"} | item)
                uids.add(item["metadata"]["uid"])
    return members


def _conditions(obj: Obj) -> list[str]:
    who = f"{obj.get('kind', '').lower()}/{obj['metadata']['name']}"
    out = []
    for c in (obj.get("status") or {}).get("conditions", ()):
        bad = c["status"] == "True" if c["type"] == "ReplicaFailure" else c["status"] == "False"
        if bad and c.get("message") and c["type"] not in ("Available", "Ready", "ContainersReady"):
            out.append(f"{who}: {c['message']}")
    return out


def _containers(obj: Obj) -> list[str]:
    status: dict[str, Any] = obj.get("status") or {}
    out = []
    for c in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        who = f"pod/{obj['metadata']['name']}, container {c['name']}"
        waiting = (c.get("state") or {}).get("waiting") or {}
        ended = (c.get("state") or {}).get("terminated") or (c.get("lastState") or {}).get("terminated") or {}
        if waiting.get("message"):
            out.append(f"{who}: {waiting['reason']}: {waiting['message']}")
        if ended.get("exitCode"):
            out.append(f"{who}: ended with exit code {ended['exitCode']} ({ended.get('reason', 'Error')})")
        elif "running" in (c.get("state") or {}) and not c.get("ready"):
            out.append(f"{who}: runs, but its readiness probe does not pass")
    return out


async def _warnings(client: Client, family: list[Obj], namespace: str | None) -> list[str]:
    uids = {member["metadata"]["uid"] for member in family}
    events = (await client.list("events", namespace, field_selector="type=Warning"))["items"]
    return [f"{about['kind'].lower()}/{about['name']}: {event.get('reason')}: {event.get('message')}"
            for event in events if (about := event["involvedObject"]).get("uid") in uids]
