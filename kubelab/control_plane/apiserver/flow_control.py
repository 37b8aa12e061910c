"""Priority and fairness: a flood from one client does not starve the others.

    request ─► flow schema ─► priority level: a free seat? ─► yes: go
                                     └─ no: a queue of this flow's hand ─► full? 429
                                               each turn of the loop: the queues take turns at the free seats

A seat is held until its request is answered and this turn of the event loop is over: most requests are answered
without waiting for anything, so what is scarce is not requests under way but the turns of the one loop.

Invariant: no level holds more seats than its share; a flow waits in at most `hand size` of its level's queues.
Models:    k8s.io/apiserver/pkg/util/flowcontrol and its shuffle sharding
Left out:  seats borrowed between levels, the work of lists and watches as a number of seats
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from kubelab.control_plane.apiserver.deadline import Way, is_long_running
from kubelab.control_plane.apiserver.flow_metrics import FlowMetrics, Tally
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.fair_queue import Level, Limits
from kubelab.machinery.request import Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.flow_defaults import GROUP, built_in
from kubelab.units.flow_schemas import Schema, schemas

SEATS = 120  # of the whole server. Upstream has 600 threads; here this many reads make a turn of 5 ms
WAIT_S = 15.0  # in a queue: a quarter of a request's time
REMEMBERED = 4096
MASTERS = "system:masters"
Objects = Callable[[str], Iterable[Obj]]


class Classified:
    """What one kind of request of one user is: computed once, then remembered."""

    __slots__ = ("flow", "hand", "head", "level", "tally")

    def __init__(self, level: Level | None, flow: str, schema_uid: str, level_uid: str, tally: Tally) -> None:
        self.level, self.flow, self.tally = level, flow, tally
        self.hand = level.hand(flow) if level is not None else ()
        self.head = {"x-kubernetes-pf-flowschema-uid": schema_uid, "x-kubernetes-pf-prioritylevel-uid": level_uid}


class FlowControl:
    """Lets requests from the wire in. `objects` returns the stored FlowSchemas and PriorityLevelConfigurations."""

    def __init__(self, objects: Objects, seats: int = SEATS) -> None:
        self._objects, self._seats = objects, seats
        self.metrics = FlowMetrics(lambda: {level.name: level.seats for level in self.levels.values()})
        self.reload()

    def reload(self) -> None:
        """Read the configuration again; requests that wait go on waiting where they are."""
        objects = {obj["metadata"]["name"]: obj for obj in (*built_in("PriorityLevelConfiguration"),
                                                            *self._objects("prioritylevelconfigurations"))}
        limits = {name: found for name, obj in objects.items() if (found := _limits(obj)) is not None}
        shares = sum(entry[0] for entry in limits.values()) or 1
        self.levels = {
            name: Level(name, objects[name]["metadata"]["uid"],
                        -(-self._seats * entry[0] // shares), entry) for name, entry in limits.items()}
        self._exempt_uid = objects["exempt"]["metadata"]["uid"]
        named = {obj["metadata"]["name"]: obj for obj in (*built_in("FlowSchema"), *self._objects("flowschemas"))}
        self._schemas = schemas(named.values())
        self._known: dict[tuple[object, ...], Classified] = {}
        masters = next(schema for schema in self._schemas if schema.name == "exempt")
        self._masters = Classified(None, "", masters.uid, self._exempt_uid, self.metrics.tally("exempt", masters.name))

    def classify(self, user: User, info: RequestInfo) -> Classified:
        """Say which flow a request belongs to."""
        if MASTERS in user.groups:
            return self._masters
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace,
               "" if info.resource else info.path)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            schema = next((s for s in self._schemas if self._served(s) and s.matches(user, info)), self._schemas[-1])
            level = self.levels.get(schema.level)
            found = self._known[key] = Classified(level, schema.flow(user, info), schema.uid,
                                                  level.uid if level is not None else self._exempt_uid,
                                                  self.metrics.tally(schema.level, schema.name))
        return found

    def _served(self, schema: Schema) -> bool:
        return schema.level == "exempt" or schema.level in self.levels  # one that dangles is passed over

    def around(self, way: Way) -> Way:
        """Return the same way with a door in front of it."""
        async def fair(request: Request, info: RequestInfo, user: User) -> Response:
            if request.wire is None:
                return await way(request, info, user)  # our own parts share the loop as good neighbours
            found = self.classify(user, info)
            request.answer_head = found.head
            level, tally = found.level, found.tally
            if is_long_running(info) and info.verb != "watch":
                return await way(request, info, user)
            if level is not None:
                if level.taken < level.seats and not level.crowded:
                    level.taken += 1
                elif not await _wait(level, found.hand, tally):
                    return too_many()
            began = tally.begin()
            try:
                return await way(request, info, user)
            finally:
                tally.end(began, info.verb)
                if level is not None:
                    level.leave()

        return fair


def follow_flows(storage: Storage) -> FlowControl:
    """Return a flow control that obeys the stored objects, and each change of them."""
    def objects(plural: str) -> Iterable[Obj]:
        return [body.obj for body in storage.of(GROUP, plural).objects.values()]

    made = FlowControl(objects)
    for plural in ("flowschemas", "prioritylevelconfigurations"):
        storage.of(GROUP, plural).follow(lambda _: made.reload())
    return made


async def _wait(level: Level, hand: tuple[int, ...], tally: Tally) -> bool:
    """Wait for a seat; say whether there is one."""
    queued = level.enqueue(hand)
    if queued is None:
        tally.refused("queue-full" if hand else "concurrency-limit")
        return False
    place, length = queued
    joined = tally.joined(length)
    try:
        async with asyncio.timeout(WAIT_S):
            await place
    except BaseException as error:
        if place.done() and not place.cancelled():
            level.leave()  # the seat came too late: the next one shall have it
        place.cancel()
        late = isinstance(error, TimeoutError)
        tally.waited(joined, execute=False)
        tally.refused("time-out" if late else "cancelled")
        if late:
            return False
        raise
    tally.waited(joined, execute=True)
    return True


def too_many() -> Response:
    return Response(429, b"Too many requests, please try again later.\n",
                    {"content-type": "text/plain; charset=utf-8", "retry-after": "1"})


def _limits(obj: Obj) -> Limits | None:
    """Read a PriorityLevelConfiguration; None for one that limits nothing."""
    limited = obj["spec"].get("limited")
    if obj["spec"].get("type") == "Exempt" or limited is None:
        return None
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return (limited.get("nominalConcurrencyShares", 30), queuing.get("queues", 0), queuing.get("handSize", 0),
            queuing.get("queueLengthLimit", 0))
