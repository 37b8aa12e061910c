"""Bridge from a cluster to the browser: informers and journal on one side, small messages on the other.

    Informers ─► Projection ─┐                         ┌─► send({"type": "diff", ...})   at most 20 a second
    Journal ───► dots ───────┼─► (one timer) flush ────┤
    Components ─► cards ─────┘                         └─ nothing while no view is open
    hear({"type": "hello" | "bye" | "ask"}) ◄── the views

Invariant: everything here runs on the cluster's loop; a flush costs what changed since the last one, and the more
           changed, the longer the next one waits. After `stop` no informer, task or timer is left.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from kubelab.client.client import Client
from kubelab.client.component import Component
from kubelab.client.informer import Informers
from kubelab.machinery.clock import Clock, RealClock, parse_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.journal import Entry, Journal
from kubelab.machinery.request import Obj
from kubelab.views import parts
from kubelab.views.answers import Answers, sentence
from kubelab.views.chronicle import Chronicle, Happening
from kubelab.views.items import condition
from kubelab.views.marks import Mark, Marks, marks_of
from kubelab.views.messages import Spoke, spoke_of_entry, spoke_of_event
from kubelab.views.model import Projection
from kubelab.views.past import Compacted, Past

Send = Callable[[dict[str, Any]], None]

FLUSH_S = 0.05  # 20 messages a second
PER_ITEM_S = 0.00025  # and 250 µs more for each item in a message
WATCHED = {"pods": "Pod", "nodes": "Node", "services": "Service", "endpointslices": "EndpointSlice",
           "deployments": "Deployment", "replicationcontrollers": "ReplicationController"}


class Bridge:
    """Follows one cluster for any number of views of it."""

    def __init__(self, client: Client, send: Send, *, journal: Journal | None = None,
                 components: Mapping[str, Component] | None = None, name: str = "cluster",
                 clock: Clock | None = None) -> None:
        self.projection, self.seq = Projection(name), 0
        self._client, self._send, self._journal = client, send, journal
        self._components: Mapping[str, Component] = components if components is not None else {}
        self._clock: Clock = clock or RealClock()
        self._chronicle = Chronicle()
        self._past = Past(client, self._chronicle, self.projection.items, self._components)
        self._answers = Answers(client, self.projection.items, self._components, self._clock, self._past,
                                self._chronicle)
        self._informers = Informers(client)
        self._views: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wait_s = FLUSH_S
        self._dots: Counter[Spoke] = Counter()
        self._requests: deque[float] = deque(maxlen=5000)
        self._marks = Marks(self.projection)
        self._tasks: set[asyncio.Task[None]] = set()
        self._endings: list[Callable[[], object]] = []
        self._states: dict[str, tuple[Component, str]] = {}
        self._told = False  # the first list is in: from now on changes make marks

    @property
    def running(self) -> bool:
        return bool(self._endings)

    def now(self) -> float:
        return self._clock.now()

    async def start(self) -> None:
        """Follow the cluster; return when the first picture is complete."""
        if self.running:
            return
        for plural, kind in WATCHED.items():
            self._endings.append(self._informers.of(plural).on_event(self._handler(kind)))
        if self._journal is not None:
            for entry in self._journal.entries():
                self._wrote(entry)
            self._endings.append(self._journal.subscribe(self._crossed))
        await self._informers.start_all()
        self._past.began = self._chronicle.complete_from = self._past.newest
        self._cards()
        self._told = True
        self._spawn(self._beat())
        self._spawn(self._recall())

    async def stop(self) -> None:
        endings, self._endings = self._endings, []
        for end in endings:
            end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._informers.stop_all()
        self._watch_states({})
        self._views.clear()
        self._rest()

    # ── from the cluster ─────────────────────────────────────────────────────────────────────────────────────

    def _handler(self, kind: str) -> Callable[[str, Obj, Obj | None], None]:
        feed = {"Pod": self.projection.pod, "Node": self.projection.node, "Service": self.projection.service,
                "EndpointSlice": self.projection.slice}.get(kind)

        def on_event(type_: str, obj: Obj, old: Obj | None) -> None:
            if feed is not None:
                feed(type_, obj)
            if kind == "Node" and condition(obj, "Ready").get("status") != "True" and type_ != "DELETED":
                self._spawn(self._lease(obj["metadata"]["name"]))
            if self._told:
                new, before = (None, obj) if type_ == "DELETED" else (obj, old)
                happening = self._chronicle.note(kind, before, new, self._clock.now())
                for mark in marks_of(kind, old, new):
                    self.mark(mark, happening)
                if self._journal is None and (spoke := spoke_of_event({"kind": kind} | obj)):
                    self._dots[spoke] += 1
            self._changed()

        return on_event

    def _crossed(self, entry: Entry) -> None:
        if entry.seam == "request":
            self._requests.append(entry.at)
        self._wrote(entry)
        if self._views and (spoke := spoke_of_entry(entry)):
            self._dots[spoke] += 1
            self._changed()

    def _wrote(self, entry: Entry) -> None:
        if entry.seam == "write" and entry.detail:
            self._chronicle.wrote(int(entry.detail), entry.at, entry.verb, entry.subject, entry.actor)

    async def _lease(self, node: str) -> None:
        """Find out when a node that is not ready was last heard of."""
        try:
            lease = await self._client.get("leases", node, "kube-node-lease")
        except (ApiError, OSError):
            return  # it never had one, or we cannot ask: its Ready condition tells since when
        if renewed := (lease.get("spec") or {}).get("renewTime"):
            self.projection.lease(node, parse_timestamp(renewed))
            self._changed()

    async def _recall(self) -> None:
        """Mark what was done before the view began, as far as the API server still tells it."""
        try:
            found = await self._past.recall(WATCHED)
        except (ApiError, Compacted, OSError):
            return  # a server that has forgotten tells nothing: the bar begins with this view
        for kind, old, new, _ in found:
            for mark in marks_of(kind, old, new):
                self.mark(mark, self._chronicle.happening(int((new or old or {})["metadata"]["resourceVersion"])))

    def mark(self, mark: Mark, happening: Happening | None = None) -> None:
        """Put a mark on the time bar, at what happened or at now."""
        if happening is not None:
            self._marks.put(mark, happening.at, happening.revision, happening.of)
        else:
            self._marks.put(mark, self._clock.now(), self._past.newest)
        self._changed()

    # ── components ───────────────────────────────────────────────────────────────────────────────────────────

    async def _beat(self) -> None:
        """Once a second: the figures on the cards, and components that were put in others' places."""
        while True:
            await asyncio.sleep(1)
            self._past.beat()
            if self._views:
                self._cards()

    def _cards(self, _: Component | None = None) -> None:
        self._watch_states(self._components)
        figures = {parts.part_name(key): parts.figure(key, c) for key, c in self._components.items()}
        figures["etcd"] = f"revision {self._past.newest}"
        self.projection.put("time", self._past.item())
        if self._journal is not None:
            now = self._clock.now()
            figures["apiserver"] = f"{sum(1 for at in self._requests if now - at <= 1)} req/s"
        for key, item in parts.part_items(self._components, figures).items():
            self.projection.put(key, item)
        for key, component in self._components.items():
            if key.startswith("kubelet/"):
                self.projection.kubelet(key.removeprefix("kubelet/"), component.state)
        self._changed()

    def _watch_states(self, components: Mapping[str, Component]) -> None:
        """Listen to the components there are now, tell what changed, let go of those that were replaced."""
        for key, (component, before) in list(self._states.items()):
            if components.get(key) is not component:
                component.on_state.remove(self._cards)
                del self._states[key]
            elif component.state != before:
                self._states[key] = (component, component.state)
                if component.state in ("running", "stopped", "restarting") and self._told:
                    text = {"running": "started", "restarting": "died"}.get(component.state, component.state)
                    self.mark(Mark(f"{key} {text}", "broke" if text == "died" else "did"))
        for key, component in components.items():
            if key not in self._states:
                component.on_state.append(self._cards)
                self._states[key] = (component, component.state)

    # ── to and from the views ────────────────────────────────────────────────────────────────────────────────

    def _changed(self) -> None:
        if self._views and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._wait_s, self._flush)

    def _flush(self) -> None:
        self._rest()
        diff, dots = self.projection.take(), [[*spoke, count] for spoke, count in self._dots.items()]
        self._dots.clear()
        if diff is None and not dots:
            return
        self.seq += 1
        diff = diff or {"set": {}, "del": []}
        self._wait_s = FLUSH_S + PER_ITEM_S * (len(diff["set"]) + len(diff["del"]))
        self._send({"type": "diff", "seq": self.seq, "now": self._clock.now(), "dots": dots, **diff})

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def hear(self, message: Obj) -> None:
        """Take a message of a view: hello (it wants the whole picture), bye, or a question."""
        view, type_ = str(message.get("view", "")), message.get("type")
        if type_ == "hello":
            self._flush()
            self._views.add(view)
            self._cards()
            self._flush()
            items = dict(self.projection.items)
            self._send({"type": "model", "seq": self.seq, "now": self._clock.now(), "items": items})
        elif type_ == "bye":
            self._views.discard(view)
            if not self._views:
                self._rest()
        elif type_ == "ask":
            self._spawn(self._reply(view, message))

    async def _reply(self, view: str, request: Obj) -> None:
        answer: dict[str, Any] = {"type": "answer", "view": view, "id": request.get("id")}
        try:
            answer["data"] = await self._answers.answer(request)
        except (ApiError, LookupError, OSError) as error:
            answer["error"] = sentence(error)
        self._send(answer)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
