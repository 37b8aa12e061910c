"""What the API server counts: requests, those under way, watches, what is stored and how long etcd took.

    Pipeline.handle ─► observe(request, answer, seconds) ─► one cell a kind of request ─► /metrics

Invariant: a request costs one look into a dict and one bisection; the labels are worked out when somebody reads.
Models:    k8s.io/apiserver/pkg/endpoints/metrics and storage/etcd3/metrics
Left out:  response sizes, SLI durations
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence

from kubelab.client.process_metrics import ProcessMetrics
from kubelab.control_plane.apiserver.storage import ETCD_SECONDS, SECONDS, Storage
from kubelab.machinery import metrics
from kubelab.machinery.metrics import Cell, Family, Gauge, Labels
from kubelab.machinery.request import Request, Response
from kubelab.machinery.routes import RequestInfo

LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
VERBS = {"create": "POST", "update": "PUT"}
CONNECTING = frozenset({"exec", "attach", "portforward", "proxy"})
PATHS = frozenset({"/", "/api", "/apis", "/version", "/metrics", "/healthz", "/livez", "/readyz", "/openapi/v2",
                   "/openapi/v3"})
READS = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_SERIES = 4096  # names come from clients: beyond this, new ones share a series
Key = tuple[str, str, str, str, str, str, str, int]
OTHER: Key = ("other", "", "", "", "", "", "", 0)


class RequestMetrics:
    """The counts of one API server."""

    def __init__(self) -> None:
        self._cells: dict[Key, Cell] = {}
        self.storage: Storage | None = None
        self.more: Sequence[Family] = ()  # what other parts of this server count
        self._under_way = {"mutating": 0, "readOnly": 0}
        self._drained: asyncio.Event | None = None  # somebody waits for the last request to end
        self._most = dict(self._under_way)  # since somebody read them

    @property
    def under_way(self) -> int:
        return sum(self._under_way.values())

    async def drained(self) -> None:
        """Wait until no request is under way."""
        self._drained = asyncio.Event()
        if self.under_way:
            await self._drained.wait()

    def enter(self, request: Request) -> str:
        """Count a request that begins; the answer is what `leave` is to be told."""
        kind = "readOnly" if request.method in READS else "mutating"
        self._under_way[kind] = now = self._under_way[kind] + 1
        if now > self._most[kind]:
            self._most[kind] = now
        return kind

    def leave(self, kind: str, request: Request, info: RequestInfo, response: Response, seconds: float) -> None:
        """Count a request that ended."""
        self._under_way[kind] -= 1
        if self._drained is not None and not self.under_way:
            self._drained.set()
        verb = info.verb
        if verb == "patch" and request.headers.get("content-type", "").startswith("application/apply-patch"):
            verb = "apply"
        scope = "resource" if info.name or verb == "create" else "namespace" if info.namespace else "cluster"
        path = info.subresource if info.resource else info.path
        key = (verb, info.group, info.version, info.resource, path, scope, request.query.get("dryRun", ""),
               response.status)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._new(key)
        cell.observe(seconds)

    def _new(self, key: Key) -> Cell:
        if not key[3] and key[4] not in PATHS:
            key = (*key[:4], "other", *key[5:])
        elif len(self._cells) > MOST_SERIES:
            key = OTHER
        return self._cells.setdefault(key, Cell(SECONDS))

    def answer(self) -> Response:
        """Answer GET /metrics."""
        text = metrics.exposition([_Requests("apiserver_request_total", self._cells),
                                   _Requests("apiserver_request_duration_seconds", self._cells),
                                   *self._gauges(), *self.more, ETCD_SECONDS, ProcessMetrics(),
                                   *metrics.PROCESS])
        return Response(200, text.encode(), {"content-type": metrics.MEDIA_TYPE})

    def _gauges(self) -> list[Gauge]:
        return [
            Gauge("apiserver_current_inflight_requests", "Maximal number of currently used inflight request limit of "
                  "this apiserver per request kind in last second.", ("request_kind",), self._inflight),
            Gauge("apiserver_longrunning_requests", "Gauge of all active long-running apiserver requests broken out "
                  "by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
                  tuple(label for label in LABELS if label != "dry_run"), self._watches),
            Gauge("apiserver_storage_objects", "[DEPRECATED, consider using apiserver_resource_objects instead] "
                  "Number of stored objects at the time of last check split by kind. In case of a fetching error, "
                  "the value will be -1.", ("resource",), self._objects),
            Gauge("apiserver_resource_objects", "Number of stored objects at the time of last check split by kind. "
                  "In case of a fetching error, the value will be -1.", ("group", "resource"), self._objects_by_group),
        ]

    def _inflight(self) -> dict[Labels, float]:
        most, self._most = self._most, dict(self._under_way)
        return {(kind,): amount for kind, amount in most.items()}

    def _watches(self) -> dict[Labels, float]:
        found: dict[Labels, float] = defaultdict(float)
        for collection in self.storage.collections.values() if self.storage is not None else ():
            kind = collection.kind
            for watcher in collection.fanout:
                scope = "namespace" if watcher.namespace else "cluster"
                found["apiserver", kind.group, kind.plural, scope, "", "WATCH", kind.version] += 1
        return found

    def _objects_by_group(self) -> dict[Labels, float]:
        storage = self.storage
        return {key: len(found.objects) for key, found in storage.collections.items()} if storage is not None else {}

    def _objects(self) -> dict[Labels, float]:
        return {(f"{plural}.{group}" if group else plural,): amount
                for (group, plural), amount in self._objects_by_group().items()}


class _Requests:
    """One of the two families that the cells of requests make."""

    def __init__(self, name: str, cells: dict[Key, Cell]) -> None:
        self.name, self._cells = name, cells

    def lines(self) -> Iterator[str]:
        if self.name.endswith("_total"):
            yield from metrics.head(self.name, "Counter of apiserver requests broken out for each verb, dry run value, "
                                    "group, version, resource, scope, component, and HTTP response code.", "counter")
            for key, cell in sorted(self._cells.items()):
                yield metrics.sample(self.name, ("code", *LABELS), (str(key[7]), *_labels(key)), cell.total)
            return
        yield from metrics.head(self.name, "Response latency distribution in seconds for each verb, dry run value, "
                                "group, version, resource, subresource, scope and component.", "histogram")
        merged: dict[Labels, Cell] = {}
        for key, cell in self._cells.items():
            labels = _labels(key)
            if labels[6] not in ("WATCH", "CONNECT"):  # how long those took says nothing about the server
                merged.setdefault(labels, Cell(SECONDS)).merge(cell)
        for labels, cell in sorted(merged.items()):
            yield from cell.lines(self.name, LABELS, labels)


def _labels(key: Key) -> Labels:
    verb, group, version, resource, subresource, scope, dry_run, _ = key
    verb = "CONNECT" if subresource in CONNECTING and resource else VERBS.get(verb, verb.upper())
    return "apiserver", dry_run, group, resource, scope if resource else "", subresource, verb, version
