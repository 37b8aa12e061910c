"""What the API server says about itself under /metrics."""

from __future__ import annotations

from kubelab.machinery.request import User

from .conftest import World, config_map

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LABELS = ('component="apiserver",dry_run="",group="",resource="configmaps",scope="{}",subresource="",verb="{}",'
          'version="v1"')


async def metrics(world: World) -> list[str]:
    body = (await world.send("GET", "/metrics")).body
    assert isinstance(body, bytes)
    return body.decode().splitlines()


async def test_requests(world: World) -> None:
    """Refused and answered requests are counted by verb, scope and code, and timed."""
    await world.send("POST", CONFIG_MAPS, config_map("a"))
    await world.send("POST", CONFIG_MAPS, config_map("a"))
    await world.send("GET", f"{CONFIG_MAPS}/a", user=User("nobody"))
    lines = await metrics(world)
    post, get = LABELS.format("resource", "POST"), LABELS.format("resource", "GET")
    assert f'apiserver_request_total{{code="201",{post}}} 1' in lines
    assert f'apiserver_request_total{{code="409",{post}}} 1' in lines
    assert f'apiserver_request_total{{code="403",{get}}} 1' in lines
    assert f'apiserver_request_duration_seconds_bucket{{{post},le="60"}} 2' in lines
    assert f'apiserver_request_duration_seconds_count{{{get}}} 1' in lines


async def test_state(world: World) -> None:
    """Open watches, stored objects and requests under way are read when asked for."""
    await world.send("POST", CONFIG_MAPS, config_map("a"))
    await world.watch(CONFIG_MAPS)
    lines = await metrics(world)
    assert 'apiserver_storage_objects{resource="configmaps"} 1' in lines
    assert 'apiserver_resource_objects{group="",resource="configmaps"} 1' in lines
    watches = LABELS.replace('dry_run="",', "").format("namespace", "WATCH")
    assert f"apiserver_longrunning_requests{{{watches}}} 1" in lines
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1' in lines
    assert any(line.startswith('etcd_request_duration_seconds_count{operation="create",group="",resource="configmaps"}')
               for line in lines)


async def test_bounded(world: World) -> None:
    """Paths and resources that clients make up do not grow the server."""
    for number in range(50):
        await world.send("GET", f"/made/up/{number}")
    assert sum("made/up" in line for line in await metrics(world)) == 0


async def test_needs_authorisation(world: World) -> None:
    """/metrics is for system:monitoring and administrators."""
    monitor = User("prometheus", ("system:monitoring", "system:authenticated"))
    assert (await world.send("GET", "/metrics", user=monitor)).status == 200
    assert (await world.send("GET", "/metrics", user=User("eve", ("system:authenticated",)))).status == 403
