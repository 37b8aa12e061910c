"""Tokens of service accounts: whose they are, and what they are bound to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kubelab.client.client import Client
from kubelab.client.pki import Pki
from kubelab.client.transport import InProcess
from kubelab.control_plane.apiserver.server import ApiServer
from kubelab.machinery.request import Obj

from .conftest import ADMIN, World, pod, refused


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """Yield a client of a server that has a key for tokens."""
    server = ApiServer(world.etcd, clock=world.clock, journal=world.journal, pki=Pki.open(None))
    await server.start()
    made = Client(InProcess(server.handle, ADMIN, "test"), user_agent="test")
    await made.create("sa", {"metadata": {"name": "web"}})
    await made.create("pods", pod("p"))
    yield made
    await server.stop()


async def ask(client: Client, spec: Obj, **metadata: str) -> Obj:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": spec}
    answer: Obj = await client.create("sa", body, "default", name="web", subresource="token")
    return answer


def bound(kind: str, version: str = "v1", **ref: str) -> Obj:
    return {"boundObjectRef": {"kind": kind, "apiVersion": version, **ref}}


@pytest.mark.parametrize(("spec", "metadata", "told"), [
    ({}, {"name": "other"}, 'TokenRequest.authentication.k8s.io "web" is invalid: metadata.name: Invalid value: '
                            '"other": '
                            "must match the service account name if specified"),
    ({"expirationSeconds": 1 << 33}, {}, 'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: '
     "Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds"),
    (bound("ConfigMap", name="p"), {}, "cannot bind token to object of type /v1, Kind=ConfigMap"),
    (bound("Pod", "x.io/v1", name="p"), {}, "cannot bind token to object of type x.io/v1, Kind=Pod"),
    (bound("Pod", name="q"), {}, 'pods "q" not found'),
    (bound("Pod", name="p"), {}, 'cannot bind token for serviceaccount "web" to pod running with different '
                                 "serviceaccount name."),
    (bound("Node", name="n"), {}, 'nodes "n" not found'),
])
async def test_a_token_is_refused_in_words(client: Client, spec: Obj, metadata: dict[str, str], told: str) -> None:
    """What is asked for must fit the account, and what it is bound to must be there."""
    assert (await refused(ask(client, spec, **metadata))).message == told


async def test_a_token_is_bound_to_one_object_and_not_to_its_name(client: Client) -> None:
    """Another object of that name is another object."""
    await client.create("secrets", {"metadata": {"name": "s"}})
    error = await refused(ask(client, bound("Secret", name="s", uid="gone")))
    assert (error.code, error.message) == (409, 'Operation cannot be fulfilled on Secret "s": the UID in the bound '
                                                'object '
                                           "reference (gone) does not match the UID in record. The object might have "
                                           "been deleted and then recreated")
    made = await ask(client, bound("Secret", name="s"))
    assert (made["metadata"]["name"], made["spec"]["expirationSeconds"]) == ("web", 3600)
    assert made["status"]["token"]
