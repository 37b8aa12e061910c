"""The chain of admission tells how long each plugin took, and which one refused."""

from __future__ import annotations

from .conftest import Growth, World, config_map, refused

PLUGIN = "apiserver_admission_controller_admission_duration_seconds_count"
STEP = "apiserver_admission_step_admission_duration_seconds_count"


async def test_each_plugin_is_timed(world: World) -> None:
    """Only plugins that want to see this write are asked, each under its name, and the step as a whole."""
    growth = await Growth.of(world)
    await world.client.create("cm", config_map("a"))
    await growth.now()
    for name, asked in (("NamespaceLifecycle", 1), ("MutatingAdmissionWebhook", 1), ("Priority", 0)):
        assert growth[f'{PLUGIN}{{name="{name}",type="admit",operation="CREATE",rejected="false"}}'] == asked
    assert growth[f'{PLUGIN}{{name="ResourceQuota",type="validate",operation="CREATE",rejected="false"}}'] == 1
    for type_ in ("admit", "validate"):
        assert growth[f'{STEP}{{type="{type_}",operation="CREATE",rejected="false"}}'] == 1


async def test_a_refusal_is_told_apart(world: World) -> None:
    """The plugin that refused and its step are counted as rejecting, and nobody behind it was asked."""
    growth = await Growth.of(world)
    await refused(world.client.create("cm", config_map("a"), "nowhere"))
    await growth.now()
    assert growth[f'{PLUGIN}{{name="NamespaceLifecycle",type="admit",operation="CREATE",rejected="true"}}'] == 1
    assert growth[f'{PLUGIN}{{name="MutatingAdmissionWebhook",type="admit",operation="CREATE",rejected="false"}}'] == 0
    assert growth[f'{STEP}{{type="admit",operation="CREATE",rejected="true"}}'] == 1
    assert growth[f'{STEP}{{type="validate",operation="CREATE",rejected="false"}}'] == 0
