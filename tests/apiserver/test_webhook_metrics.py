"""What is counted of webhooks: calls, refusals and those that gave no answer."""

from __future__ import annotations

from kubelab.machinery.request import Obj

from .conftest import Growth, World, config_map, refused
from .webhook_server import configuration, webhook

MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
PREFIX = "apiserver_admission_webhook"


def allow(request: Obj) -> Obj:
    return {"allowed": True}


def deny(request: Obj) -> Obj:
    return {"allowed": False, "status": {"code": 777}}


async def test_agreed_and_refused(world: World) -> None:
    """Each call is counted and timed under the webhook's name; a refusal also with its code, which 600 bounds."""
    growth = await Growth.of(world)
    async with webhook(allow) as yes, webhook(deny) as no:
        await world.client.create(MUTATING, configuration("Mutating", "yes", yes))
        await world.client.create(VALIDATING, configuration("Validating", "no", no))
        await refused(world.client.create("cm", config_map("a")))
    await growth.now()
    labels = '{{name="{}.example.com",type="{}",operation="CREATE"'
    yes_, no_ = labels.format("yes", "admit"), labels.format("no", "validating")
    assert growth[f'{PREFIX}_request_total{yes_},code="200",rejected="false"}}'] == 1
    assert growth[f'{PREFIX}_request_total{no_},code="600",rejected="true"}}'] == 1
    assert growth[f'{PREFIX}_rejection_count{no_},error_type="no_error",rejection_code="600"}}'] == 1
    assert growth[f'{PREFIX}_admission_duration_seconds_count{yes_},rejected="false"}}'] == 1
    assert growth[f'{PREFIX}_admission_duration_seconds_count{no_},rejected="true"}}'] == 1


async def test_no_answer(world: World) -> None:
    """A webhook that does not answer rejects, or fails open where its policy says so; a dry run cannot ask it."""
    async with webhook(allow) as gone:
        pass
    growth = await Growth.of(world)
    await world.client.create(VALIDATING, configuration("Validating", "gone", gone, sideEffects="None"))
    await refused(world.client.create("cm", config_map("a")))
    await world.client.patch(VALIDATING, "gone", [{"op": "replace", "path": "/webhooks/0/failurePolicy",
                                                   "value": "Ignore"}], type="json")
    await world.client.create("cm", config_map("a"))
    await growth.now()
    labels = '{name="gone.example.com",type="validating",operation="CREATE"'
    assert growth[f'{PREFIX}_rejection_count{labels},error_type="calling_webhook_error",rejection_code="400"}}'] == 1
    assert growth[f'{PREFIX}_request_total{labels},code="400",rejected="false"}}'] == 1
    assert growth[f'{PREFIX}_fail_open_count{{name="gone.example.com",type="validating"}}'] == 1
