"""Event recorder: tell people what happened to an object, without ever holding up who tells it.

    event(obj, ...) ─► aggregate similar ─► count repeats ─► spam filter ─► outbox ─► background task ─► API
                       10 messages that       same again:      25, then one       create, or patch of count
                       differ: "(combined…"   count + 1        every 5 minutes

Invariant: `event` never waits and never raises for a reason outside; one object's noise cannot starve the others.
Models:    client-go's tools/record (EventCorrelator) and, with `series`, tools/events
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from kubelab.client.client import Client
from kubelab.client.transport import Unreachable
from kubelab.machinery.clock import Clock, micro_timestamp, timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units import find

log = logging.getLogger("kubelab")

REMEMBERED = 4096  # similar events, repeats and noisy objects that are kept in mind, each
SIMILAR, SIMILAR_S = 10, 600.0  # so many different messages within this time are told as one
BURST, REFILL_PER_S = 25, 1 / 300
COMBINED = "(combined from similar events): "
SERIES_QUIET_S = 360.0  # a series is written again at most this often
RETRIES, RETRY_S = 12, 10.0
_OUTBOX = 20_000
_TURN_S = 0.002  # the background task gives the loop to others after this

Key = tuple[Any, ...]


@dataclass(slots=True)
class Similar:
    """Events about one object that differ in their message alone."""

    last: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Told:
    """An event that has been told before, and how often."""

    name: str
    count: int
    written: float


class Memory(dict[Key, Any]):
    """A dict that forgets what it learned first when it grows too large."""

    def remember(self, key: Key, value: Any) -> Any:
        if len(self) >= REMEMBERED:
            del self[next(iter(self))]
        self[key] = value
        return value


class EventRecorder:
    """Writes Events in the name of one component; `series` is the form of events.k8s.io, as the scheduler uses."""

    def __init__(self, client: Client, component: str, clock: Clock, *, host: str = "", series: bool = False) -> None:
        self.component, self.host, self.series = component, host, series
        self.dropped = 0
        self._client, self._clock = client, clock
        self._events = find("events")
        self._similar, self._told, self._buckets = Memory(), Memory(), Memory()
        self._outbox: deque[tuple[str, str, Obj, bool]] = deque()  # namespace, name, event or patch, is it a patch
        self._task: asyncio.Task[None] | None = None
        self._last_stamp = 0
        self._second, self._when = -1, ""
        self._stopped = False

    async def start(self) -> None:
        """Take events again after a stop; a new recorder does so without."""
        self._stopped = False

    async def stop(self) -> None:
        """Take no more events, and drop those that cannot be written at once."""
        self._stopped = True
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._outbox.clear()

    async def flush(self) -> None:
        """Wait until everything recorded so far is written."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    def event(self, obj: Obj, type: str, reason: str, message: str, *, field_path: str = "", action: str = "") -> None:
        """Record that something happened to `obj`: type Normal or Warning, reason in CamelCase."""
        if self._stopped:
            return
        now = self._clock.now()
        metadata = obj["metadata"]
        about: Key = (obj.get("kind"), metadata.get("namespace", ""), metadata["name"], metadata.get("uid"))
        message, key = self._combine(about, type, reason, message, field_path, now)
        if self.series:  # upstream's key is the whole reference: what changed since is told anew
            key = (*key, metadata.get("resourceVersion"))
        told = self._told.get(key)
        if not self._passes(about, now):
            return
        namespace = metadata.get("namespace") or "default"
        if told is not None:
            patch = self._repeat(told, message, now)
            if patch is not None:
                self._send(namespace, told.name, patch, True)
            return
        event = self._new(obj, type, reason, message, field_path, action, now)
        self._told.remember(key, Told(event["metadata"]["name"], 1, now))
        self._send(namespace, event["metadata"]["name"], event, False)

    # ── what to tell ─────────────────────────────────────────────────────────────────────────────────────────

    def _combine(self, about: Key, type_: str, reason: str, message: str, field_path: str,
                 now: float) -> tuple[str, Key]:
        """Return the message to write, and under which key its repeats are counted."""
        alike = (about, type_, reason)
        if self.series:
            return message, alike
        similar = self._similar.get(alike)
        if similar is None or now - similar.last > SIMILAR_S:
            similar = self._similar.remember(alike, Similar(now))
        similar.last = now
        messages: set[str] = similar.messages
        messages.add(message)
        if len(messages) < SIMILAR:
            return message, (about, type_, reason, message, field_path)
        messages.pop()
        return COMBINED + message, alike

    def _passes(self, about: Key, now: float) -> bool:
        """Take a token from the object's bucket: 25 at most, one more every five minutes."""
        tokens, since = self._buckets.get(about) or (float(BURST), now)
        tokens = min(float(BURST), tokens + (now - since) * REFILL_PER_S)
        passes = tokens >= 1
        self._buckets.remember(about, (tokens - 1 if passes else tokens, now))
        return passes

    def _repeat(self, told: Told, message: str, now: float) -> Obj | None:
        told.count += 1
        if not self.series:
            return {"count": told.count, "lastTimestamp": self._timestamp(now), "message": message}
        if told.count > 2 and now - told.written < SERIES_QUIET_S:
            return None
        told.written = now
        return {"series": {"count": told.count, "lastObservedTime": micro_timestamp(now)}}

    def _new(self, obj: Obj, type_: str, reason: str, message: str, field_path: str, action: str, now: float) -> Obj:
        metadata = obj["metadata"]
        involved = {"kind": obj.get("kind", ""), "name": metadata["name"], "uid": metadata.get("uid", ""),
                    "apiVersion": obj.get("apiVersion", "")}
        for name, value in (("namespace", metadata.get("namespace")), ("fieldPath", field_path),
                            ("resourceVersion", metadata.get("resourceVersion"))):
            if value:
                involved[name] = value
        self._last_stamp = stamp = max(self._last_stamp + 1, int(now * 1e9))
        event: Obj = {
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"name": f"{metadata['name']}.{stamp:x}", "namespace": metadata.get("namespace") or "default"},
            "involvedObject": involved, "reason": reason, "message": message, "type": type_,
            "reportingComponent": self.component,
        }
        if self.series:
            return event | {"eventTime": micro_timestamp(now), "action": action or reason, "source": {},
                            "reportingInstance": f"{self.component}-{self.host or 'kubelab'}"}
        when = self._timestamp(now)
        source = {"component": self.component} | ({"host": self.host} if self.host else {})
        return event | {"source": source, "firstTimestamp": when, "lastTimestamp": when, "count": 1,
                        "reportingInstance": self.host}

    def _timestamp(self, now: float) -> str:
        """Write the time once a second: a burst of events shares it."""
        if int(now) != self._second:
            self._second, self._when = int(now), timestamp(now)
        return self._when

    # ── telling it ───────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, namespace: str, name: str, body: Obj, is_patch: bool) -> None:
        if len(self._outbox) >= _OUTBOX:
            self.dropped += 1
            return
        self._outbox.append((namespace, name, body, is_patch))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain(), name=f"events/{self.component}")

    async def _drain(self) -> None:
        """Write the outbox, giving way to all others every two milliseconds."""
        await asyncio.sleep(0)
        turn_began = perf_counter()
        while self._outbox:
            await self._write(*self._outbox.popleft())
            if perf_counter() - turn_began > _TURN_S:
                await asyncio.sleep(0)
                turn_began = perf_counter()

    async def _write(self, namespace: str, name: str, body: Obj, is_patch: bool) -> None:
        for _ in range(RETRIES):
            try:
                if is_patch:
                    await self._client.patch(self._events, name, body, namespace, type="strategic")
                else:
                    await self._client.create(self._events, body, namespace)
                return
            except ApiError as error:  # refused, e.g. because the namespace goes away: telling again would not help
                log.debug("event %s/%s is not recorded: %s", namespace, name, error)
                break
            except Unreachable:
                await self._clock.sleep(RETRY_S)
        self.dropped += 1
