"""Who asks, and whether they may, is counted by result."""

from __future__ import annotations

import pytest

from kubelab.control_plane.apiserver.access_metrics import known
from kubelab.machinery.request import User

from .conftest import Growth, World

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_authentication(world: World) -> None:
    """A wrong token is an error, nobody's token a success; what brings its user along in process is no attempt."""
    growth = await Growth.of(world)
    assert (await world.send("GET", "/version", user=None, headers={"authorization": "Bearer x"})).status == 401
    await world.send("GET", "/version", user=None)
    await world.send("GET", "/version")
    await growth.now()
    assert growth['authentication_attempts{result="error"}'] == 1
    assert growth['authentication_attempts{result="success"}'] == 1
    assert growth['authenticated_user_requests{username="other"}'] == 1
    assert growth['authentication_duration_seconds_count{result="success"}'] == 1


async def test_authorization(world: World) -> None:
    """A decision is counted under the authorizer that took it; masters are asked about by none."""
    growth = await Growth.of(world)
    node = User("system:node:a", ("system:nodes", "system:authenticated"))
    await world.send("GET", "/version", user=User("ann", ("system:authenticated",)))
    await world.send("GET", "/api/v1/services", user=node)
    await world.send("GET", CONFIG_MAPS, user=User("eve"))
    await world.send("GET", CONFIG_MAPS)
    await growth.now()
    decisions = "apiserver_authorization_decisions_total"
    assert growth[f'{decisions}{{type="RBAC",name="rbac",decision="allowed"}}'] == 1
    assert growth[f'{decisions}{{type="Node",name="node",decision="allowed"}}'] == 1
    assert growth['authorization_attempts_total{result="no-opinion"}'] == 1
    assert growth['authorization_attempts_total{result="allowed"}'] == 4  # the question how many among them


@pytest.mark.parametrize(("name", "shown"), [
    ("admin", "admin"), ("ann@example.com", "email_id"), ("system:serviceaccount:shop:web", "other")])
def test_users_make_no_series(name: str, shown: str) -> None:
    """There are as many series as upstream has words for users."""
    assert known(name) == shown
