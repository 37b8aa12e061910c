"""Answers to what the side panel asks: the object, its events, its logs, a component's card and source.

    {"what": "events", "key": "pod:<uid>"} ─► Answers.answer ─► a list of small dicts

Invariant: asked on demand, through the API; nothing of this is kept.
Models:    kubectl describe, kubectl logs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubelab.client.client import Client, kind_of
from kubelab.client.component import Component
from kubelab.machinery.clock import Clock, parse_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import age
from kubelab.machinery.request import Obj
from kubelab.views import parts
from kubelab.views.chronicle import Chronicle
from kubelab.views.diff import compare
from kubelab.views.items import Item
from kubelab.views.past import Past
from kubelab.views.table import to_yaml, without_managed_fields

KINDS = {"pod": "Pod", "node": "Node", "svc": "Service"}
TAIL_LINES = 200


class Answers:
    """`items` is the live view model; `components` what this process holds of the cluster, empty for a remote one.

    A question is about an item of the picture (`key`) or about any object that happened (`of`: kind, ns, name), as of
    `revision` (0: now).
    """

    def __init__(self, client: Client, items: Mapping[str, Item], components: Mapping[str, Component],
                 clock: Clock, past: Past, chronicle: Chronicle) -> None:
        self._client, self._items, self._components, self._clock = client, items, components, clock
        self._past, self._chronicle = past, chronicle
        self._ways: dict[str, Callable[[Obj], Any]] = {
            "object": self._object, "events": self._events, "logs": self._logs, "diff": self._diff,
            "past": past.picture,
            "part": self._part, "source": self._source, "do": self._do}

    async def answer(self, request: Obj) -> Any:
        """Return the data of an answer.

        Raises: LookupError with a sentence for a person, ApiError as the API server answered.
        """
        way = self._ways.get(str(request.get("what")))
        if way is None:
            raise LookupError(f"nobody here knows {request.get('what')!r}")
        return await way(request)

    def _of(self, request: Obj) -> Obj:
        """Return kind, ns and name of what is asked about."""
        of: Obj | None = request.get("of")
        if of is not None:
            return of
        item = self._items.get(str(request.get("key")))
        if item is None or item["t"] not in KINDS:
            raise LookupError("It is gone.")
        return {"kind": KINDS[item["t"]], "ns": item.get("ns") or "", "name": item["name"]}

    async def _as_of(self, of: Obj, revision: int) -> Obj | None:
        return await self._past.object(of["kind"], of.get("ns") or "", of["name"], revision)

    async def _object(self, request: Obj) -> Any:
        of, revision = self._of(request), int(request.get("revision") or 0)
        found = await self._as_of(of, revision)
        if found is None:
            raise LookupError(f"It was not there at revision {revision}." if revision else "It is gone.")
        obj: Obj = {"apiVersion": kind_of(of["kind"]).api_version, "kind": of["kind"], **found}
        conditions = (obj.get("status") or {}).get("conditions") or ()
        return {"yaml": to_yaml(without_managed_fields(obj)), "facts": self._facts(obj), "now": self._clock.now(),
                "conditions": [{k: c.get(k, "") for k in ("type", "status", "reason", "message")} for c in conditions]}

    async def _diff(self, request: Obj) -> Any:
        """Compare an object at two revisions (0: now); without them, across its last change."""
        of = self._of(request)
        changes = self._chronicle.changes_of(of)
        last = changes[0].revision if changes else self._past.newest
        start, end = int(request.get("from") or max(self._past.oldest, last - 1)), int(request.get("to") or 0)
        old, new = [_without_heading(await self._as_of(of, revision)) for revision in (start, end)]
        found = compare(old, new)
        return {"from": start, "to": end, "lines": found, "summary": found.summary, "oldest": self._past.oldest,
                "there": [old is not None, new is not None],
                "changes": [[c.revision, c.at, c.words] for c in changes], "now": self._clock.now()}

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
        elif obj["kind"] == "Service":
            ports = ", ".join(f"{p['port']}→{p.get('targetPort', p['port'])}/{p.get('protocol', 'TCP')}"
                              + (f" (node port {p['nodePort']})" if p.get("nodePort") else "")
                              for p in spec.get("ports") or ())
            rows += [("type", spec.get("type")), ("cluster IP", spec.get("clusterIP")), ("ports", ports),
                     ("selects", _labels(spec.get("selector")))]
        rows.append(("labels", _labels(meta.get("labels"))))
        return [[name, str(value)] for name, value in rows if value]

    async def _events(self, request: Obj) -> Any:
        of, revision = self._of(request), int(request.get("revision") or 0)
        field = f"involvedObject.name={of['name']},involvedObject.kind={of['kind']}"
        where = of.get("ns") or None
        found = await self._past.listed("events", where, revision, field) if revision else \
            (await self._client.list("events", where, field_selector=field))["items"]
        events = sorted(found, key=_when, reverse=True)
        return [{"type": e.get("type", ""), "reason": e.get("reason", ""), "message": e.get("message", ""),
                 "count": (e.get("series") or {}).get("count") or e.get("count") or 1, "age": self._age(_when(e))}
                for e in events[:50]]

    async def _logs(self, request: Obj) -> Any:
        of = self._of(request)
        path = f"/api/v1/namespaces/{of['ns']}/pods/{of['name']}/log"
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


def _without_heading(obj: Obj | None) -> Obj | None:
    """Return what two answers can be compared by: only one of them may say its kind."""
    return None if obj is None else {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")}


def _labels(labels: Mapping[str, str] | None) -> str:
    return ", ".join(f"{k}={v}" for k, v in (labels or {}).items())


def _when(event: Obj) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
               or event["metadata"].get("creationTimestamp") or "")


def sentence(error: BaseException) -> str:
    """Return what a person is told of an error."""
    return error.message if isinstance(error, ApiError) else str(error) or type(error).__name__
