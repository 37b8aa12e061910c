"""Tables and bare metadata: which form a client is answered in, and what it is told when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import World

META = "application/json;as={};v={};g=meta.k8s.io"
MAPS = "/api/v1/namespaces/default/configmaps"
NONE_OF_OURS = "only the following media types are accepted: application/json, application/yaml, " \
               "application/vnd.kubernetes.protobuf"


async def answer(world: World, path: str, accept: str, method: str = "GET", sent: object = None) -> tuple[int, Any]:
    response = await world.send(method, path, sent, headers={"accept": accept})
    return response.status, response.body


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


@pytest.mark.parametrize(("path", "accept", "kind"), [
    (f"{MAPS}/a", META.format("Table", "v1"), "Table"), (MAPS, META.format("Table", "v1beta1"), "Table"),
    (MAPS, META.format("PartialObjectMetadataList", "v1beta1"), "PartialObjectMetadataList"),
    (f"{MAPS}/a", META.format("Table", "v9") + ",application/json", "ConfigMap"),
    (f"{MAPS}/a", "application/json;q=0.1," + META.format("PartialObjectMetadata", "v1"), "PartialObjectMetadata")])
async def test_the_first_form_that_we_have_is_taken(world: World, path: str, accept: str, kind: str) -> None:
    """Of what a client accepts, what it likes best and we have comes, in the version of the form that it names."""
    await world.client.create("cm", config_map("a"))
    status, body = await answer(world, path, accept)
    shown = body.obj if hasattr(body, "obj") else body
    assert (status, shown["kind"]) == (200, kind)
    if "v1beta1" in accept:
        assert shown["apiVersion"] == "meta.k8s.io/v1beta1"


@pytest.mark.parametrize(("path", "accept", "code", "message"), [
    (MAPS, META.format("Table", "v9"), 406, NONE_OF_OURS), (MAPS, META.format("Pretty", "v1"), 406, NONE_OF_OURS),
    (f"{MAPS}/none", META.format("Table", "v9"), 406, NONE_OF_OURS),
    (MAPS, "application/json;v=v1", 406, NONE_OF_OURS),
    (MAPS, META.format("PartialObjectMetadata", "v1"), 406,
     "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
    (f"{MAPS}/a", META.format("PartialObjectMetadataList", "v1"), 406,
     "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"),
    (f"{MAPS}?includeObject=All", META.format("Table", "v1"), 400,
     'Unable to convert to Table as requested: includeObject: Invalid value: "All": must be \'Metadata\', \'Object\', '
     "'None', or empty")])
async def test_a_form_that_there_is_not_is_refused(world: World, path: str, accept: str, code: int,
                                                   message: str) -> None:
    """An unknown version or form, a list for one object and nonsense beside it are told apart."""
    await world.client.create("cm", config_map("a"))
    status, body = await answer(world, path, accept)
    assert (status, body["message"]) == (code, message)


async def test_what_cannot_be_answered_is_not_done(world: World) -> None:
    """A write whose answer the client could not read leaves nothing behind."""
    assert (await answer(world, MAPS, "text/html", "POST", config_map("b")))[0] == 406
    assert (await answer(world, f"{MAPS}/b", "application/json"))[0] == 404


async def test_the_row_of_a_pod_that_has_ended_is_completed(world: World) -> None:
    """A row says by a condition that its pod has come to its end, well or not."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await world.client.create("pods", pod)
    _, table = await answer(world, "/api/v1/pods", META.format("Table", "v1"))
    assert "conditions" not in table["rows"][0]
    await world.send("PATCH", "/api/v1/namespaces/default/pods/p/status", {"status": {"phase": "Failed"}},
                     headers={"content-type": "application/merge-patch+json"})
    _, table = await answer(world, "/api/v1/pods", META.format("Table", "v1"))
    assert table["rows"][0]["conditions"] == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]


async def test_flow_schemas_are_shown_in_the_order_they_are_tried(world: World) -> None:
    """A table of flow schemas is sorted by precedence, whatever their names."""
    _, table = await answer(world, "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", META.format("Table", "v1"))
    order = [(row["cells"][2], row["cells"][0]) for row in table["rows"]]
    assert order == sorted(order) != sorted(order, key=lambda one: one[1])


async def test_an_empty_list_is_a_table_without_rows(world: World) -> None:
    """The columns come although there is nothing to show in them."""
    _, table = await answer(world, "/api/v1/pods", META.format("Table", "v1"))
    assert table["rows"] == [] and table["columnDefinitions"][0]["name"] == "Name"


async def test_the_object_beside_a_row_is_in_the_version_that_was_asked_for(world: World) -> None:
    """A row of events.k8s.io has its object in that version, although core/v1 is what is stored."""
    await world.client.create("events", {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"},
                                         "reason": "R", "message": "m", "type": "Normal"})
    path = "/apis/events.k8s.io/v1/namespaces/default/events?includeObject=Object"
    _, table = await answer(world, path, META.format("Table", "v1"))
    beside = table["rows"][0]["object"]
    assert (beside["apiVersion"], beside["note"], table["rows"][0]["cells"][3]) == ("events.k8s.io/v1", "m", "pod/p")
