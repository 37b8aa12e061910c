"""Answers to what the side panel asks: the object, its events, its logs, a component's card and source.

    {"what": "events", "key": "pod:<uid>"} ─► Answers.answer ─► a list of small dicts

Invariant: asked on demand, through the API; nothing of this is kept.
Models:    kubectl describe, kubectl logs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.machinery.clock import Clock, parse_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import age
from kubelab.machinery.request import Obj
from kubelab.views import parts
from kubelab.views.items import Item
from kubelab.views.table import to_yaml, without_managed_fields

KINDS = {"pod": ("v1", "Pod", "pods"), "node": ("v1", "Node", "nodes"), "svc": ("v1", "Service", "services")}
TAIL_LINES = 200


class Answers:
    """`items` is the live view model; `components` what this process holds of the cluster, empty for a remote one."""

    def __init__(self, client: Client, items: Mapping[str, Item], components: Mapping[str, Component],
                 clock: Clock) -> None:
        self._client, self._items, self._components, self._clock = client, items, components, clock
        self._ways: dict[str, Callable[[Obj], Any]] = {
            "object": self._object, "events": self._events, "logs": self._logs,
            "part": self._part, "source": self._source, "do": self._do}

    async def answer(self, request: Obj) -> Any:
        """Return the data of an answer.

        Raises: LookupError with a sentence for a person, ApiError as the API server answered.
        """
        way = self._ways.get(str(request.get("what")))
        if way is None:
            raise LookupError(f"nobody here knows {request.get('what')!r}")
        return await way(request)

    def _item(self, request: Obj) -> Item:
        item = self._items.get(str(request.get("key")))
        if item is None:
            raise LookupError("It is gone.")
        return item

    async def _object(self, request: Obj) -> Any:
        item = self._item(request)
        version, kind, plural = KINDS[item["t"]]
        found = await self._client.get(plural, item["name"], item.get("ns") or None)
        obj: Obj = {"apiVersion": version, "kind": kind, **found}
        conditions = (obj.get("status") or {}).get("conditions") or ()
        return {"yaml": to_yaml(without_managed_fields(obj)), "facts": self._facts(obj), "now": self._clock.now(),
                "conditions": [{k: c.get(k, "") for k in ("type", "status", "reason", "message")} for c in conditions]}

    def _facts(self, obj: Obj) -> list[list[str]]:
        meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
        rows = [("namespace", meta.get("namespace")), ("age", self._age(meta.get("creationTimestamp")))]
        if obj["kind"] == "Pod":
            owner = next((f"{o['kind']} {o['name']}" for o in meta.get("ownerReferences") or ()), None)
            rows += [("phase", status.get("phase")), ("node", spec.get("nodeName")), ("IP", status.get("podIP")),
                     ("belongs to", owner), ("images", ", ".join(c["image"] for c in spec["containers"]))]
        elif obj["kind"] == "Node":
            info = status.get("nodeInfo") or {}
            rows += [("addresses", ", ".join(a["address"] for a in status.get("addresses") or ())),
                     ("kubelet", info.get("kubeletVersion")), ("runtime", info.get("containerRuntimeVersion")),
                     ("pods at most", (status.get("allocatable") or {}).get("pods")),
                     ("taints", ", ".join(f"{t['key']}:{t['effect']}" for t in spec.get("taints") or ()))]
        else:
            ports = ", ".join(f"{p['port']}→{p.get('targetPort', p['port'])}/{p.get('protocol', 'TCP')}"
                              + (f" (node port {p['nodePort']})" if p.get("nodePort") else "")
                              for p in spec.get("ports") or ())
            rows += [("type", spec.get("type")), ("cluster IP", spec.get("clusterIP")), ("ports", ports),
                     ("selects", _labels(spec.get("selector")))]
        rows.append(("labels", _labels(meta.get("labels"))))
        return [[name, str(value)] for name, value in rows if value]

    async def _events(self, request: Obj) -> Any:
        item = self._item(request)
        field = f"involvedObject.name={item['name']},involvedObject.kind={KINDS[item['t']][1]}"
        found = await self._client.list("events", item.get("ns") or None, field_selector=field)
        events = sorted(found["items"], key=_when, reverse=True)
        return [{"type": e.get("type", ""), "reason": e.get("reason", ""), "message": e.get("message", ""),
                 "count": (e.get("series") or {}).get("count") or e.get("count") or 1, "age": self._age(_when(e))}
                for e in events[:50]]

    async def _logs(self, request: Obj) -> Any:
        item = self._item(request)
        path = f"/api/v1/namespaces/{item['ns']}/pods/{item['name']}/log"
        query = {"tailLines": str(TAIL_LINES)}
        if request.get("container"):
            query["container"] = str(request["container"])
        body = await self._client.raw("GET", path, query=query)
        return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)

    def _component(self, request: Obj) -> tuple[str, Component] | None:
        return parts.find(self._components, str(request.get("key")).removeprefix("part:"))

    async def _part(self, request: Obj) -> Any:
        found = self._component(request)
        return parts.card(*found) if found else {"facts": [], "loops": [], "can": []}

    async def _source(self, request: Obj) -> Any:
        found = self._component(request)
        if found is None:
            raise LookupError("Its source is not in this process." if request.get("key") != "part:kubectl" else
                              "kubectl is the real one; it comes with the kit as a program.")
        return parts.source(*found)

    async def _do(self, request: Obj) -> Any:
        found = self._component(request)
        if found is None:
            raise LookupError("It runs outside of this notebook.")
        await parts.act(found[1], str(request.get("act")))
        return {}

    def _age(self, stamp: str | None) -> str:
        return age(max(0.0, self._clock.now() - parse_timestamp(stamp))) if stamp else ""


def _labels(labels: Mapping[str, str] | None) -> str:
    return ", ".join(f"{k}={v}" for k, v in (labels or {}).items())


def _when(event: Obj) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
               or event["metadata"].get("creationTimestamp") or "")


def sentence(error: BaseException) -> str:
    """Return what a person is told of an error."""
    return error.message if isinstance(error, ApiError) else str(error) or type(error).__name__
