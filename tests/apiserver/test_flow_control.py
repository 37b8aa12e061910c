"""Priority and fairness: who belongs to which flow, who goes first, who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from kubelab.control_plane.apiserver.flow_control import FlowControl
from kubelab.machinery.metrics import exposition
from kubelab.machinery.request import Obj, Request, Response, User
from kubelab.machinery.routes import RequestInfo, request_info
from kubelab.units.flow_defaults import built_in
from kubelab.units.flow_schemas import schemas

from .conftest import ADMIN, World

PODS = "/api/v1/namespaces/default/pods"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a"
AUTHENTICATED = "system:authenticated"


def nothing_stored(plural: str) -> Iterable[Obj]:
    return ()


def account(namespace: str, name: str) -> User:
    return User(f"system:serviceaccount:{namespace}:{name}",
                ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED))


@pytest.mark.parametrize(("user", "method", "path", "schema"), [
    (ADMIN, "GET", PODS, "exempt"),
    (User("system:anonymous", ("system:unauthenticated",)), "GET", "/readyz", "probes"),
    (User("system:kube-scheduler", (AUTHENTICATED,)), "PUT", LEASE, "system-leader-election"),
    (User("system:kube-scheduler", (AUTHENTICATED,)), "GET", PODS, "kube-scheduler"),
    (User("system:node:a", ("system:nodes", AUTHENTICATED)), "PUT", LEASE, "system-node-high"),
    (User("system:node:a", ("system:nodes", AUTHENTICATED)), "GET", PODS, "system-nodes"),
    (account("kube-system", "x"), "GET", PODS, "kube-system-service-accounts"),
    (account("shop", "x"), "GET", PODS, "service-accounts"),
    (User("alice", (AUTHENTICATED,)), "GET", "/version", "global-default")])
def test_schemas(user: User, method: str, path: str, schema: str) -> None:
    """Each caller falls under the schema that Kubernetes has for it."""
    info = request_info(method, path, {})
    assert next(s.name for s in schemas(built_in("FlowSchema")) if s.matches(user, info)) == schema


class Door:
    """Sends requests of several users at once and notes in which order they are answered."""

    def __init__(self, seats: int = 12) -> None:
        self.control = FlowControl(nothing_stored, seats)
        self.answered: list[str] = []
        self.way = self.control.around(self._serve)

    async def _serve(self, request: Request, info: RequestInfo, user: User) -> Response:
        self.answered.append(user.name)
        return Response(200)

    def send(self, user: str, times: int) -> list[asyncio.Task[Response]]:
        who, info = User(user, (AUTHENTICATED,)), request_info("GET", PODS, {})
        return [asyncio.create_task(self.way(Request("GET", PODS, wire=object()), info, who))  # type: ignore[arg-type]
                for _ in range(times)]


async def test_a_flood_does_not_starve_others() -> None:
    """Three hundred requests of one client were there first; those of another are answered among the first."""
    door = Door()
    flood = door.send("flood", 300)
    others = door.send("alice", 3)
    await asyncio.gather(*flood, *others)
    assert len(door.answered) == 303
    assert max(at for at, user in enumerate(door.answered) if user == "alice") < 30


async def test_full_queues_refuse() -> None:
    """A flow that has filled its queues is told to come back later, and others still get in."""
    door = Door()
    flood, others = door.send("flood", 500), door.send("alice", 5)
    answers = await asyncio.gather(*flood)
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 500 - 300 - 1  # six queues of fifty, and the one seat of this small server
    assert refused[0].headers["retry-after"] == "1" and b"try again later" in refused[0].body  # type: ignore[operator]
    assert {answer.status for answer in await asyncio.gather(*others)} == {200}


async def test_seats_come_back() -> None:
    """After a flood, and after clients that left while they waited, every seat is free again."""
    door = Door()
    flood = door.send("flood", 200)
    await asyncio.sleep(0)
    for task in flood[50:]:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    await asyncio.gather(*door.send("bob", 1))
    await asyncio.sleep(0)
    level = door.control.levels["global-default"]
    assert (level.taken, level.waiting) == (0, 0)


async def test_counts() -> None:
    """Who was let in, who waited and who was refused is counted by schema and level."""
    door = Door()
    answers = await asyncio.gather(*door.send("flood", 500))
    refused, labels = sum(answer.status == 429 for answer in answers), ("global-default", "global-default")
    metrics = door.control.metrics
    tally = metrics.tally(*labels)
    assert metrics.rejected.values == {(*labels, "queue-full"): refused}
    assert (tally.dispatched, tally.executing, tally.waiting) == (500 - refused, 0, 0)
    assert metrics.execution.cells[*labels, "regular"].total == 500 - refused
    assert metrics.waits.cells[*labels, "true"].total == metrics.lengths.cells[labels].total == 300
    text = exposition(metrics.families())
    series = 'priority_level="global-default",flow_schema="global-default"'
    assert f"apiserver_flowcontrol_dispatched_requests_total{{{series}}} 301\n" in text
    assert f"apiserver_flowcontrol_current_inqueue_requests{{{series}}} 0\n" in text
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="global-default"} 1\n' in text


async def test_who_leaves_while_waiting_was_cancelled() -> None:
    """A client that hangs up in the queue is counted as such, and waits no more."""
    door = Door()
    flood = door.send("flood", 20)
    await asyncio.sleep(0)
    tally = door.control.metrics.tally("global-default", "global-default")
    assert (tally.executing + tally.waiting, tally.waiting) == (19, 19)
    flood[-1].cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert door.control.metrics.rejected.values == {("global-default", "global-default", "cancelled"): 1}
    assert (tally.executing, tally.waiting) == (0, 0)


def test_hands() -> None:
    """Flows are dealt different queues, each always the same."""
    level = FlowControl(nothing_stored).levels["workload-low"]
    hands = {level.hand(f"flow-{number}") for number in range(100)}
    assert len(hands) == 100 and all(len(set(hand)) == 6 and max(hand) < 128 for hand in hands)
    assert level.hand("flow-1") == level.hand("flow-1")


async def test_headers_and_configuration(world: World) -> None:
    """An answer says under which schema it was let in; a stored FlowSchema takes effect at once."""
    schema = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "alice"},
              "spec": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 5, "rules": [
                  {"subjects": [{"kind": "User", "user": {"name": "alice"}}],
                   "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}
    stored = await world.client.create("flowschemas.flowcontrol.apiserver.k8s.io", schema)
    request = Request("GET", "/version", user=User("alice", (AUTHENTICATED,)), wire=object())
    answer = await world.server.handle(request)
    assert answer.status == 200
    assert answer.headers["x-kubernetes-pf-flowschema-uid"] == stored["metadata"]["uid"]
    assert len(answer.headers["x-kubernetes-pf-prioritylevel-uid"]) == 36
