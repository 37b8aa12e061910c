"""Replay small stories and compare what controllers and scheduler told and made of them.

    steps ─► API ─► controllers, scheduler ─┬─► Events ─┐
                └─ StandIn (a kubelet that  └─► objects ┴─► compare with the recorded story
                   only reports status)

What the stand-in reports is not compared; neither is which of two equal nodes the scheduler took.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from kubelab import units
from kubelab.client.client import Client
from kubelab.machinery.clock import timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj

from .recording import first_difference, normalise

NODES = ("fake-1", "fake-2")
CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "110"}
REPORTED = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
_ON_NODE = re.compile(r"to fake-\d")
_NODE = re.compile(r'"fake-\d"')  # where a daemon's pod is meant for
_STORY = re.compile(r"story-\d+")


def is_ours(story: dict[str, Any]) -> bool:
    """Tell whether a story is about kinds of the catalogue only."""
    kinds = [(s["create"]["apiVersion"], s["create"]["kind"]) for s in story["steps"] if "create" in s]
    return all(units.by_kind(*kind) is not None for kind in kinds)


class StandIn:
    """Says of every bound pod that it runs, unless its image does not exist."""

    def __init__(self, client: Client) -> None:
        self._client, self._address = client, 10
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for i, name in enumerate(NODES, 1):
            node = units.Node(name, labels={"kubernetes.io/hostname": name})
            node["status"] = {"capacity": CAPACITY, "allocatable": CAPACITY,
                              "addresses": [{"type": "InternalIP", "address": f"10.1.0.{i}"}],
                              "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}
            await self._client.create("nodes", node)
        waiting = set(NODES)
        async for event in self._client.watch("nodes"):
            if event.type != "BOOKMARK" and not event.obj["spec"].get("taints"):
                waiting.discard(event.obj["metadata"]["name"])
            if not waiting:
                break
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        async for event in self._client.watch("pods"):
            pod = event.obj
            if event.type in ("ADDED", "MODIFIED") and pod["spec"].get("nodeName"):
                with contextlib.suppress(ApiError):  # the pod may be gone by now
                    await self._report(pod)

    async def _report(self, pod: Obj) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if pod["metadata"].get("deletionTimestamp"):
            await self._client.delete("pods", name, namespace, grace_period_s=0)
        elif not pod["status"].get("containerStatuses"):
            self._address += 1
            await self._client.patch("pods", name, {"status": self._status(pod)}, namespace, type="strategic",
                                     subresource="status")

    def _status(self, pod: Obj) -> Obj:
        broken = any("non-existent" in c["image"] for c in pod["spec"]["containers"])
        now, address = timestamp(asyncio.get_running_loop().time()), f"10.244.0.{self._address}"
        state = {"waiting": {"reason": "ErrImagePull"}} if broken else {"running": {"startedAt": now}}
        conditions = [{"type": t, "status": "False" if broken and "Ready" in (t, t[-5:]) else "True",
                       "lastTransitionTime": now} for t in REPORTED]
        return {"phase": "Pending" if broken else "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": conditions, "containerStatuses": [
                    {"name": c["name"], "image": c["image"], "imageID": "", "ready": not broken, "restartCount": 0,
                     "state": state} for c in pod["spec"]["containers"]]}


async def act(client: Client, story: dict[str, Any], namespace: str) -> None:
    """Do the steps; after each wait until nothing is written any more, at most as long as was waited then."""
    for step in story["steps"]:
        match step:
            case {"create": obj, "status": status, "answer": answer} if status >= 400:
                with pytest.raises(ApiError) as refused:
                    await client.create(units.by_kind(obj["apiVersion"], obj["kind"]), obj, namespace)  # type: ignore[arg-type]
                assert refused.value.status == answer
            case {"create": obj}:
                await client.create(units.by_kind(obj["apiVersion"], obj["kind"]), obj, namespace)  # type: ignore[arg-type]
            case {"patch": [kind, name, patch]}:
                await client.patch(kind.lower(), name, patch, namespace, type="merge")
            case {"patch node": [name, patch]}:
                await client.patch("nodes", name, patch, type="merge")
            case {"pods' phase set to": phase}:
                for pod in (await client.list("pods", namespace))["items"]:
                    await client.patch("pods", pod["metadata"]["name"], {"status": {"phase": phase}}, namespace,
                                       subresource="status")
            case {"evict": _, "answer": answer}:
                pod = (await client.list("pods", namespace))["items"][0]["metadata"]["name"]
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
                path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
                with pytest.raises(ApiError) as refused:
                    await client.raw("POST", path, body=eviction)
                assert refused.value.status == answer
            case {"delete namespace": _}:
                await client.delete("namespaces", namespace)
            case {"wait_s": seconds}:
                await quiet(client, min(seconds, 8))


async def quiet(client: Client, limit_s: float) -> None:
    """Wait until the cluster wrote nothing for a while."""
    before, loop = "", asyncio.get_running_loop()
    end = loop.time() + limit_s
    while loop.time() < end:
        now = (await client.list("leases"))["metadata"]["resourceVersion"]
        if now == before:
            return
        before = now
        await asyncio.sleep(0.7)


async def differences(client: Client, story: dict[str, Any], namespace: str) -> list[str]:
    """Return what is not as it was recorded: Events told, objects made."""
    told = {_said(event) for event in (await client.list("events", namespace))["items"]}
    real = {_line(e["object"], e["type"], e["reason"], e["message"], e["from"]) for e in story["events"]}
    found = [f"event missing: {line}" for line in sorted(real - told)]
    found += [f"event too many: {line}" for line in sorted(told - real)]
    ours: dict[str, list[Any]] = {}
    for listed in sorted({o["listed"] for o in story["objects"]}):
        items = await client.raw("GET", listed.replace("NS", namespace))
        ours[listed] = sorted((_object(i) for i in items["items"] or ()), key=_name)
    for listed, mine in ours.items():
        recorded = sorted((_object(o) for o in story["objects"] if o["listed"] == listed), key=_name)
        difference = first_difference(mine, recorded, listed.rpartition("/")[2])
        found += [difference] if difference else []
    for step in story["steps"]:
        if "namespace" in step:
            held = await client.get("namespaces", namespace)
            difference = first_difference(_object(held), _object(step["namespace"]), "namespace")
            found += [difference] if difference else []
    return found


def _said(event: Obj) -> str:
    about = event["involvedObject"]
    sender = event.get("reportingComponent") or (event.get("source") or {}).get("component", "")
    return _line(f"{about['kind']}/{about['name']}", event["type"], event["reason"], event["message"], sender)


def _line(*parts: str) -> str:
    text = str(normalise(" | ".join(parts)))
    return _STORY.sub("<story>", _ON_NODE.sub("to <node>", text))


def _name(obj: Any) -> str:
    return f"{obj['metadata']['name']} {obj['metadata'].get('annotations')}"


def _object(obj: Obj) -> Any:
    """Take out of an object what the stand-in reported and which node and address chance gave it."""
    out = {k: v for k, v in normalise(obj).items() if k not in ("listed", "kind", "apiVersion")}
    out["metadata"] = {k: v for k, v in out["metadata"].items() if k != "namespace"}
    out["metadata"]["name"] = _STORY.sub("<story>", out["metadata"]["name"])
    labels = out["metadata"].get("labels") or {}
    if "kubernetes.io/metadata.name" in labels:
        out["metadata"]["labels"] = labels | {"kubernetes.io/metadata.name": "<story>"}
    if "containers" in (out.get("spec") or {}):
        return _pod(out)
    for ref in (out.get("status") or {}).get("active") or () if "jobTemplate" in (out.get("spec") or {}) else ():
        ref["namespace"] = "<story>"
    if "endpoints" in out or "subsets" in out:
        out["metadata"].pop("generation", None)  # how often a slice was rewritten is a matter of timing
        return _addressed(out)
    return out


def _pod(pod: Obj) -> Obj:
    spec = _NODE.sub('"<node>"', json.dumps({k: v for k, v in pod["spec"].items() if k != "nodeName"}))
    pod["spec"] = json.loads(spec)
    known = [c for c in pod["status"].get("conditions") or () if c["type"] not in REPORTED]
    bound = any(c["type"] == "PodScheduled" and c["status"] == "True" for c in known)
    return {"metadata": pod["metadata"], "spec": pod["spec"], "scheduled": bound, "conditions": [] if bound else known}


def _addressed(obj: Obj) -> Obj:
    """Put placeholders in place of addresses and nodes, and endpoints in no order."""
    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: walk(v, k) for k, v in value.items() if k != "namespace"}
        if isinstance(value, list):
            return [walk(v, key) for v in value]
        return f"<{key}>" if key in ("ip", "addresses", "nodeName") else value

    out: Obj = walk(obj)
    for group in (out.get("endpoints"), *(list(_groups(out)))):
        if group:
            group.sort(key=lambda e: str(e.get("targetRef")))
    return out


def _groups(endpoints: Obj) -> Iterator[list[Any]]:
    for subset in endpoints.get("subsets") or ():
        yield from (subset.get(key) or [] for key in ("addresses", "notReadyAddresses"))
