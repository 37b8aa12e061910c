"""Garbage collection on a real API server: background, foreground, orphan, absent owners."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.errors import ApiError


def config_map(name: str, *owners: Any, block: bool = True) -> Any:
    references = [{"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"],
                   "blockOwnerDeletion": block} for o in owners]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": name, "ownerReferences": references} if references else {"name": name}}


@pytest.fixture
async def collected(make_world: Any) -> Any:
    return await make_world(0, enabled=("garbage-collector-controller",))


async def names(world: Any) -> list[str]:
    return sorted(o["metadata"]["name"] for o in await world.items("configmaps"))


async def gone(world: Any, *left: str) -> None:
    async def check() -> bool:
        found = await names(world)
        assert found == sorted(left), found
        return True

    await world.until(check)


async def family(world: Any) -> Any:
    parent = await world.client.create("configmaps", config_map("parent"))
    child = await world.client.create("configmaps", config_map("child", parent))
    await world.client.create("configmaps", config_map("grandchild", child))
    return parent


async def test_background(collected: Any) -> None:
    """The owner goes at once, the generations below follow."""
    await family(collected)
    await collected.client.delete("configmaps", "parent", propagation="Background")
    await gone(collected)


async def test_foreground(collected: Any) -> None:
    """The owner stays, terminating, until the last dependent that blocks it has gone."""
    await family(collected)
    await collected.client.patch("configmaps", "grandchild", {"metadata": {"finalizers": ["a.b/held"]}})
    await collected.client.delete("configmaps", "parent", propagation="Foreground")

    async def terminating() -> bool:
        return all("deletionTimestamp" in o["metadata"] for o in await collected.items("configmaps"))

    await collected.until(terminating)
    assert await names(collected) == ["child", "grandchild", "parent"]
    await collected.client.patch("configmaps", "grandchild", {"metadata": {"finalizers": None}})
    await gone(collected)


async def test_orphan(collected: Any) -> None:
    """The dependents stay, without their reference."""
    await family(collected)
    await collected.client.delete("configmaps", "parent", propagation="Orphan")
    await gone(collected, "child", "grandchild")
    assert "ownerReferences" not in (await collected.client.get("configmaps", "child"))["metadata"]


async def test_one_of_two_owners_goes(collected: Any) -> None:
    """With another owner left the dependent stays, and only the dead reference is taken off."""
    first, second = [await collected.client.create("configmaps", config_map(n)) for n in ("first", "second")]
    await collected.client.create("configmaps", config_map("child", first, second))
    await collected.client.delete("configmaps", "first")

    async def dropped() -> bool:
        references = (await collected.client.get("configmaps", "child"))["metadata"]["ownerReferences"]
        return [r["name"] for r in references] == ["second"]

    await collected.until(dropped)


async def test_an_owner_that_never_was(collected: Any) -> None:
    """A reference to a uid that does not exist is a death sentence, one to an unknown kind is not."""
    ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    await collected.client.create("configmaps", config_map("child", ghost))
    stranger = config_map("kept", ghost)
    stranger["metadata"]["ownerReferences"][0] |= {"apiVersion": "example.com/v1", "kind": "Widget"}
    await collected.client.create("configmaps", stranger)
    await gone(collected, "kept")
    with pytest.raises(ApiError):
        await collected.client.get("configmaps", "child")
