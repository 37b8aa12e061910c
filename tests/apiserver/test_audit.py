"""The audit trail: what a policy picks, what an event says, how the log is rotated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kubelab.client.audit_log import ERRORS, MEGABYTE, AuditLog
from kubelab.client.client import Client
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.audit import EVENTS, LEVELS, AuditOptions
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.journal import Journal
from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import request_info
from kubelab.units.audit_policy import AuditPolicy

from .conftest import ADMIN, World, config_map
from .webhook_server import configuration, webhook

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
HEAD: Obj = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
POLICY: Obj = HEAD | {"omitStages": ["RequestReceived"], "omitManagedFields": True, "rules": [
    {"level": "None", "nonResourceURLs": ["/healthz*"]},
    {"level": "None", "userGroups": ["system:nodes"]},
    {"level": "RequestResponse", "resources": [{"group": "", "resources": ["configmaps"]}], "namespaces": ["default"]},
    {"level": "Metadata", "omitStages": ["ResponseStarted"]}]}


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[tuple[World, Path]]:
    clock, journal = SteppedClock(), Journal()
    etcd = EmbeddedEtcd(None, clock)
    await etcd.start()
    server = ApiServer(etcd, clock=clock, journal=journal, audit=AuditOptions(POLICY, tmp_path / "audit.log"))
    await server.start()
    yield World(server, etcd, clock, journal, Client(InProcess(server.handle, ADMIN, "test"))), tmp_path / "audit.log"
    await server.stop()
    await etcd.stop()


async def events(world: World, log: Path) -> list[Any]:
    await world.server.stop()  # whatever was gathered is written
    return [orjson.loads(line) for line in log.read_bytes().splitlines()]


async def test_event(audited: tuple[World, Path]) -> None:
    """An event names caller, object and outcome; bodies come at the level that asks for them."""
    world, log = audited
    response = await world.send("POST", f"{CONFIG_MAPS}?fieldManager=me", config_map("a"),
                                headers={"user-agent": "kubectl/v1", "audit-id": "mine"})
    assert response.headers["audit-id"] == "mine"
    event, = await events(world, log)
    assert (event["stage"], event["verb"], event["level"]) == ("ResponseComplete", "create", "RequestResponse")
    assert event["requestURI"] == f"{CONFIG_MAPS}?fieldManager=me" and event["userAgent"] == "kubectl/v1"
    assert event["user"] == {"username": "kubernetes-admin", "groups": list(ADMIN.groups)}
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"}
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["requestObject"]["data"] == event["responseObject"]["data"] == {"a": "b"}
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_webhooks_write_into_the_trail(audited: tuple[World, Path]) -> None:
    """What an admission webhook notes stands among the annotations, under its name."""
    world, log = audited
    async with webhook(lambda request: {"allowed": True, "auditAnnotations": {"why": "because"}}) as hook:
        await world.client.create("validatingwebhookconfigurations", configuration("Validating", "v", hook))
        await world.send("POST", CONFIG_MAPS, config_map("a"))
    assert [event["annotations"]["v.example.com/why"] for event in await events(world, log)
            if event["objectRef"]["resource"] == "configmaps"] == ["because"]


async def test_refusals_and_silence(audited: tuple[World, Path]) -> None:
    """What is refused is written with its reason; what no rule wants is not written."""
    world, log = audited
    await world.send("GET", "/healthz")
    await world.send("GET", "/api/v1/pods", user=User("system:node:a", ("system:nodes", "system:authenticated")))
    await world.send("GET", "/api/v1/pods", user=User("eve"))
    event, = await events(world, log)
    assert event["responseStatus"]["reason"] == "Forbidden" and event["responseStatus"]["code"] == 403
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert "responseObject" not in event


async def test_counts(audited: tuple[World, Path]) -> None:
    """Events are counted as they are written, and each request by the level that its policy has for it."""
    world, log = audited
    before = EVENTS.values[()], LEVELS.values.get(("None",), 0), LEVELS.values.get(("RequestResponse",), 0)
    await world.send("GET", "/healthz")
    await world.send("POST", CONFIG_MAPS, config_map("a"))
    written = len(await events(world, log))
    assert (EVENTS.values[()], LEVELS.values[("None",)], LEVELS.values[("RequestResponse",)]) == (
        before[0] + written, before[1] + 1, before[2] + 1)


async def test_a_full_disk(tmp_path: Path) -> None:
    """What cannot be written is counted as lost, and the server goes on."""
    log, before = AuditLog("/dev/full", SteppedClock()), ERRORS.values.get(("log",), 0)
    log.write(b"one")
    log.write(b"two")
    log.flush()
    log.close()
    assert ERRORS.values[("log",)] == before + 2


async def test_watch(audited: tuple[World, Path]) -> None:
    """A watch has an event when it starts and one when it ends."""
    world, log = audited
    watcher = await world.watch(CONFIG_MAPS)
    watcher.close()
    assert [event["stage"] for event in await events(world, log)] == ["ResponseStarted", "ResponseComplete"]


@pytest.mark.parametrize(("rule", "path", "method", "matches"), [
    ({"resources": [{"group": "", "resources": ["pods"]}]}, "/api/v1/pods", "GET", True),
    ({"resources": [{"group": "", "resources": ["pods"]}]}, "/api/v1/namespaces/a/pods/b/log", "GET", False),
    ({"resources": [{"group": "", "resources": ["pods/*"]}]}, "/api/v1/namespaces/a/pods/b/log", "GET", True),
    ({"resources": [{"group": "", "resources": ["*/log"]}]}, "/api/v1/namespaces/a/pods/b/log", "GET", True),
    ({"resources": [{"group": "apps"}]}, "/apis/apps/v1/deployments", "GET", True),
    ({"resources": [{"group": "apps"}]}, "/api/v1/pods", "GET", False),
    ({"resources": [{"resources": ["pods"], "resourceNames": ["b"]}]}, "/api/v1/namespaces/a/pods/c", "GET", False),
    ({"namespaces": [""]}, "/api/v1/nodes", "GET", True),
    ({"verbs": ["list"]}, "/api/v1/nodes", "GET", True),
    ({"verbs": ["list"]}, "/api/v1/nodes", "POST", False),
    ({"nonResourceURLs": ["/apis*"]}, "/apis/apps", "GET", True),
    ({"nonResourceURLs": ["*"]}, "/api/v1/nodes", "GET", False),
    ({"users": ["bob"]}, "/version", "GET", False)])
def test_rules(rule: Obj, path: str, method: str, matches: bool) -> None:
    """A rule's lists all have to match, each in its own way."""
    policy = AuditPolicy(HEAD | {"rules": [rule | {"level": "Metadata"}]})
    verdict = policy.of(User("alice"), request_info(method, path, {}))
    assert (verdict.level == "Metadata") is matches


@pytest.mark.parametrize(("policy", "says"), [
    ({}, "audit.k8s.io/v1"),
    (HEAD, "no rules"),
    (HEAD | {"rules": [{"level": "All"}]}, "rules[0].level"),
    (HEAD | {"rules": [{"level": "None", "user": ["bob"]}]}, "'user'"),
    (HEAD | {"rules": [{"level": "None"}], "omitStages": ["End"]}, "'End'"),
    (HEAD | {"rules": [{"level": "None", "namespaces": ["a"], "nonResourceURLs": ["/"]}]}, "both")])
def test_bad_policies(policy: Obj, says: str) -> None:
    """A policy with a mistake is refused, and the message says where it is."""
    with pytest.raises(ValueError) as refused:
        AuditPolicy(policy)
    assert says in str(refused.value)


async def test_rotation(tmp_path: Path) -> None:
    """A full log is put aside, and only so many of the old ones stay."""
    clock = SteppedClock()
    log = AuditLog(tmp_path / "audit.log", clock, max_mb=10 / MEGABYTE, max_backups=2)
    for number in range(5):
        log.write(b"event %d" % number)
        log.flush()
        await clock.step(1)
    log.close()
    assert (tmp_path / "audit.log").read_bytes() == b"event 4\n"
    old = sorted(path.read_bytes() for path in tmp_path.glob("audit-*.log"))
    assert old == [b"event 2\n", b"event 3\n"]
