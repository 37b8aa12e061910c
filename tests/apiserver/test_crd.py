"""Custom resources: they come, are served like any kind, and go with their definition."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kubelab.machinery.request import Encoded, Response

from .conftest import World, drain
from .crds import ANYTHING, CRDS, WIDGETS, crd, of_spec, version, widget


def body(response: Response, status: int = 200) -> Any:
    """Return the object of an answer that has this status."""
    found = response.body.obj if isinstance(response.body, Encoded) else response.body
    assert response.status == status, found
    return orjson.loads(found) if isinstance(found, bytes) else found


async def patch(world: World, path: str, change: Any, format_: str = "merge-patch+json", query: str = "") -> Response:
    headers = {"content-type": f"application/{format_}"}
    return await world.send("PATCH", path + query, orjson.dumps(change), headers=headers)


def conditions(definition: Any) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in definition["status"]["conditions"] or ()}


async def test_a_definition_is_served_when_its_creation_is_answered(world: World) -> None:
    """Conditions, accepted names, discovery in both forms and both OpenAPI documents are there at once."""
    made = body(await world.send("POST", CRDS, crd(version(schema=of_spec(size={"type": "integer"})))), 201)
    assert made["spec"]["names"] == {"plural": "widgets", "kind": "Widget", "singular": "widget",
                                     "listKind": "WidgetList"}
    found = body(await world.send("GET", f"{CRDS}/widgets.example.com"))
    assert conditions(found) == {"NamesAccepted": ("True", "NoConflicts"),
                                 "Established": ("True", "InitialNamesAccepted")}
    assert body(await world.send("GET", "/apis/example.com/v1"))["resources"][0]["name"] == "widgets"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = body(await world.send("GET", "/apis", headers={"accept": accept}))["items"]
    assert "example.com" in [group["metadata"]["name"] for group in groups]
    document = body(await world.send("GET", "/openapi/v3/apis/example.com/v1"))
    assert "size" in document["components"]["schemas"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]
    assert "com.example.v1.WidgetList" in body(await world.send("GET", "/openapi/v2"))["definitions"]


@pytest.mark.parametrize(("path", "told"), [
    ("/apis/example.com", "only the following media types are accepted: application/json"),
    ("/apis/example.com/v1", "only the following media types are accepted: application/json"),
    ("/apis/apps/v1", "406: Not Acceptable\n\nAvailable representations: application/json"),
    ("/api", "406: Not Acceptable\n\nAvailable representations: application/json"),
])
async def test_nobody_is_told_of_kinds_in_a_form_that_is_not_there(world: World, path: str, told: str) -> None:
    await world.send("POST", CRDS, crd())
    assert told in body(await world.send("GET", path, headers={"accept": "text/html"}), 406)["message"]
    for accept in ("*/*", "text/html, application/json;q=0.5", "application/vnd.kubernetes.protobuf", ""):
        body(await world.send("GET", path, headers={"accept": accept}))


async def test_objects_live_as_those_of_any_kind(world: World) -> None:
    """Create, read, list, watch, update, generation, delete."""
    await world.send("POST", CRDS, crd())
    watcher = await world.watch(WIDGETS)
    made = body(await world.send("POST", WIDGETS, widget(spec={"a": 1})), 201)
    assert made["metadata"]["generation"] == 1
    found = body(await patch(world, f"{WIDGETS}/w", {"spec": {"a": 2}}))
    assert found["metadata"]["generation"] == 2
    assert body(await patch(world, f"{WIDGETS}/w", {"metadata": {"labels": {"a": "b"}}}))["metadata"]["generation"] == 2
    listed = body(await world.send("GET", WIDGETS))
    assert listed["kind"] == "WidgetList" and listed["items"][0]["kind"] == "Widget"
    body(await world.send("DELETE", f"{WIDGETS}/w"))
    assert [type_ for type_, _ in drain(watcher)] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]


async def test_nobody_answers_outside_the_scope(world: World) -> None:
    """Objects of all namespaces can be listed, and nothing else; another version or resource is not there at all."""
    await world.send("POST", CRDS, crd())
    everywhere = "/apis/example.com/v1/widgets"
    assert (await world.send("GET", everywhere)).status == 200
    for method, path in (("DELETE", everywhere), ("POST", everywhere), ("GET", f"{everywhere}/a"),
                         ("GET", "/apis/example.com/v9/widgets"), ("GET", "/apis/example.com/v1/gadgets")):
        answer = await world.send(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.body) == (404, b"404 page not found\n"), path


async def test_a_definition_goes_with_its_objects(world: World) -> None:
    """Deletion answers with the marked definition; objects go, then it, and nothing is served any more."""
    await world.send("POST", CRDS, crd())
    await world.send("POST", WIDGETS, widget())
    marked = body(await world.send("DELETE", f"{CRDS}/widgets.example.com"))
    assert marked["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert conditions(marked)["Terminating"] == ("True", "InstanceDeletionPending")
    assert (await world.send("GET", f"{CRDS}/widgets.example.com")).status == 404
    assert (await world.send("GET", WIDGETS)).status == 404
    assert (await world.send("GET", "/apis/example.com/v1")).status == 404
    await world.send("POST", CRDS, crd())
    assert body(await world.send("GET", WIDGETS))["items"] == []


async def test_an_object_with_a_finalizer_holds_its_definition(world: World) -> None:
    """While it stays no new ones are let in; when it goes the definition follows."""
    await world.send("POST", CRDS, crd())
    held = widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await world.send("POST", WIDGETS, held)
    await world.send("DELETE", f"{CRDS}/widgets.example.com")
    found = body(await world.send("GET", f"{CRDS}/widgets.example.com"))
    assert conditions(found)["Terminating"] == ("True", "InstanceDeletionInProgress")
    refused = body(await world.send("POST", WIDGETS, widget("more")), 403)
    told = "create not allowed while custom resource definition is terminating"
    assert refused["message"] == f'widgets.example.com "more" is forbidden: {told}'
    await patch(world, f"{WIDGETS}/w", {"metadata": {"finalizers": []}})
    await world.server.crds.settled()
    assert (await world.send("GET", f"{CRDS}/widgets.example.com")).status == 404


async def test_names_are_first_come_first_served(world: World) -> None:
    """A second definition with a taken short name waits until the name is free."""
    first, second = crd(), crd(plural="gadgets", kind="Gadget")
    for definition in (first, second):
        definition["spec"]["names"]["shortNames"] = ["g"]
        await world.send("POST", CRDS, definition)
    found = body(await world.send("GET", f"{CRDS}/gadgets.example.com"))
    assert conditions(found) == {"NamesAccepted": ("False", "ShortNamesConflict"),
                                 "Established": ("False", "NotAccepted")}
    assert (await world.send("GET", "/apis/example.com/v1/gadgets")).status == 404
    await world.send("DELETE", f"{CRDS}/widgets.example.com")
    await world.server.crds.settled()
    assert (await world.send("GET", "/apis/example.com/v1/gadgets")).status == 200


async def test_defaults_added_later_show_on_reads(world: World) -> None:
    """A default that comes with a changed schema shows in stored objects; one that went stays where it was stored."""
    await world.send("POST", CRDS, crd(version(schema=of_spec(a={"type": "string"}, b={"type": "string"}))))
    await world.send("POST", WIDGETS, widget("old", spec={}))
    schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    path = f"{CRDS}/widgets.example.com"
    await patch(world, path, [{"op": "add", "path": f"{schema}/a/default", "value": "A"}], "json-patch+json")
    assert body(await world.send("GET", f"{WIDGETS}/old"))["spec"] == {"a": "A"}
    await world.send("POST", WIDGETS, widget("new", spec={}))
    await patch(world, path, [{"op": "remove", "path": f"{schema}/a/default"},
                              {"op": "add", "path": f"{schema}/b/default", "value": "B"}], "json-patch+json")
    assert body(await world.send("GET", f"{WIDGETS}/new"))["spec"] == {"a": "A", "b": "B"}
    assert body(await world.send("GET", f"{WIDGETS}/old"))["spec"] == {"b": "B"}


async def test_status_and_scale(world: World) -> None:
    """Each of status and spec has its own endpoint; a scale reads and writes where the definition says."""
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.sel"}
    await world.send("POST", CRDS, crd(version(schema=ANYTHING, subresources={"status": {}, "scale": scale})))
    made = body(await world.send("POST", WIDGETS, widget(spec={"size": 1}, status={"size": 9})), 201)
    assert "status" not in made
    status = body(await patch(world, f"{WIDGETS}/w/status", {"status": {"size": 3, "sel": "a=b"}, "spec": {"size": 7}}))
    assert (status["spec"]["size"], status["status"]["size"], status["metadata"]["generation"]) == (1, 3, 1)
    found = body(await world.send("GET", f"{WIDGETS}/w/scale"))
    assert (found["spec"], found["status"]) == ({"replicas": 1}, {"replicas": 3, "selector": "a=b"})
    await patch(world, f"{WIDGETS}/w/scale", {"spec": {"replicas": 5}})
    found = body(await world.send("GET", f"{WIDGETS}/w"))
    assert (found["spec"]["size"], found["metadata"]["generation"]) == (5, 2)
    entry = found["metadata"]["managedFields"]
    assert any(e.get("subresource") == "status" for e in entry)


async def test_columns_and_field_selectors(world: World) -> None:
    """additionalPrinterColumns make the table; selectableFields select in lists and watches, others are refused."""
    columns = [{"name": "Color", "type": "string", "jsonPath": ".spec.color"},
               {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
               {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]
    schema = of_spec(color={"type": "string"}, size={"type": "integer"})
    schema["properties"]["status"] = ANYTHING
    await world.send("POST", CRDS, crd(version(
        schema=schema, additionalPrinterColumns=columns, selectableFields=[{"jsonPath": ".spec.color"}])))
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    await world.send("POST", WIDGETS, widget("r", spec={"color": "red", "size": 3}, status=ready))
    await world.send("POST", WIDGETS, widget("b", spec={"color": "blue"}))
    table = body(await world.send("GET", WIDGETS, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}))
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Color", "Ready", "Size"]
    assert [row["cells"] for row in table["rows"]] == [["b", "blue", None, None], ["r", "red", "True", 3]]
    found = body(await world.send("GET", f"{WIDGETS}?fieldSelector=spec.color=red"))
    assert [o["metadata"]["name"] for o in found["items"]] == ["r"]
    watcher = await world.watch(f"{WIDGETS}?fieldSelector=spec.color=red")
    await patch(world, f"{WIDGETS}/b", {"spec": {"color": "red"}})
    assert drain(watcher) == [("ADDED", "r"), ("ADDED", "b")]
    refused = body(await world.send("GET", f"{WIDGETS}?fieldSelector=spec.size=3"), 400)
    assert refused["message"] == "field label not supported: spec.size"


async def test_server_side_apply_merges_by_the_schema(world: World) -> None:
    """Map lists are merged by key, atomic ones replaced, and conflicts named."""
    port = {"type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
    schema = of_spec(ports={"type": "array", "items": port, "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"]},
                     tags={"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                     args={"type": "array", "items": {"type": "string"}})
    await world.send("POST", CRDS, crd(version(schema=schema)))

    async def applied(manager: str, **spec: Any) -> Response:
        return await patch(world, f"{WIDGETS}/w", widget(spec=spec), "apply-patch+yaml", f"?fieldManager={manager}")

    body(await applied("one", ports=[{"name": "a", "n": 1}], tags=["x"], args=["1"]), 201)
    found = body(await applied("two", ports=[{"name": "b", "n": 2}], tags=["y"]))
    assert found["spec"] == {"ports": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "tags": ["x", "y"], "args": ["1"]}
    conflict = body(await applied("two", ports=[{"name": "a", "n": 9}]), 409)
    assert '.spec.ports[name="a"].n' in conflict["message"]
    unknown = body(await applied("two", junk=1), 400)
    assert ".spec.junk: field not declared in schema" in unknown["message"]


async def test_a_definition_survives_a_restart_of_the_server(world: World) -> None:
    """What etcd holds is served again, with its objects."""
    await world.send("POST", CRDS, crd())
    await world.send("POST", WIDGETS, widget())
    await world.server.stop()
    await world.server.start()
    assert [o["metadata"]["name"] for o in body(await world.send("GET", WIDGETS))["items"]] == ["w"]


async def test_many_definitions_are_deleted_as_a_collection(world: World) -> None:
    """Ten labelled definitions go by one request, and only these."""
    for i in range(11):
        definition = crd(plural=f"w{i}s", kind=f"W{i}")
        definition["metadata"]["labels"] = {"batch": "no" if i == 10 else "yes"}
        body(await world.send("POST", CRDS, definition), 201)
    assert len(body(await world.send("GET", f"{CRDS}?labelSelector=batch=yes"))["items"]) == 10
    body(await world.send("DELETE", f"{CRDS}?labelSelector=batch=yes"))
    assert [o["metadata"]["name"] for o in body(await world.send("GET", CRDS))["items"]] == ["w10s.example.com"]


async def test_the_status_of_a_definition_can_be_written(world: World) -> None:
    """Update and patch of the status subresource show in later reads."""
    await world.send("POST", CRDS, crd())
    path = f"{CRDS}/widgets.example.com"
    mine = {"type": "Mine", "status": "True", "reason": "E2E", "message": "set", "lastTransitionTime": None}
    found = body(await world.send("GET", f"{path}/status"))
    changed = {**found, "status": {**found["status"], "conditions": [*found["status"]["conditions"], mine]}}
    body(await world.send("PUT", f"{path}/status", orjson.dumps(changed)))
    assert conditions(body(await world.send("GET", path)))["Mine"] == ("True", "E2E")
    body(await patch(world, f"{path}/status", {"metadata": {"annotations": {"a": "b"}}}))
    assert body(await world.send("GET", path))["metadata"]["annotations"] == {"a": "b"}


async def test_a_custom_kind_may_be_called_as_one_of_ours(world: World) -> None:
    """Services of another group get no cluster IP, and their deletion answers as that of any custom object."""
    await world.send("POST", CRDS, crd(plural="services", kind="Service"))
    path = WIDGETS.replace("widgets", "services")
    mine = {"apiVersion": "example.com/v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": "none"}}
    made = body(await world.send("POST", path, mine), 201)
    assert made["spec"] == {"ports": "none"}
    assert body(await world.send("DELETE", f"{path}/s"))["kind"] == "Status"
    assert body(await world.send("GET", "/api/v1/namespaces/default/services"))["kind"] == "ServiceList"


async def test_field_validation(world: World) -> None:
    """Unknown and duplicate fields, in the root's metadata and in an embedded object's, as fieldValidation wants."""
    schema = of_spec(a={"type": "integer"}, template={"type": "object", "x-kubernetes-embedded-resource": True,
                                                      "x-kubernetes-preserve-unknown-fields": True})
    await world.send("POST", CRDS, crd(version(schema=schema)))
    sent = widget(spec={"junk": 1, "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "other": 1},
                                                "kept": True}})
    sent["metadata"]["more"] = 1
    told = 'unknown field "metadata.more", unknown field "spec.junk", unknown field "spec.template.metadata.other"'
    strict = body(await world.send("POST", f"{WIDGETS}?fieldValidation=Strict", sent), 400)
    assert strict["message"].endswith(f"strict decoding error: {told}")
    warned = await world.send("POST", f"{WIDGETS}?fieldValidation=Warn", sent)
    assert warned.headers["warning"].count("299 - ") == 3
    assert body(warned, 201)["spec"] == {"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"},
                                                      "kept": True}}
    twice = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"t"},"spec":{"a":1,"a":2}}'
    refused = body(await world.send("POST", f"{WIDGETS}?fieldValidation=Strict", twice), 400)
    assert 'duplicate field "spec.a"' in refused["message"]
    yaml = b"apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: z\nspec:\n  a: 1\n  a: 2\n"
    headers = {"content-type": "application/apply-patch+yaml"}
    path = f"{WIDGETS}/z?fieldManager=m&fieldValidation=Strict"
    refused = body(await world.send("PATCH", path, yaml, headers=headers), 400)
    assert 'line 7: key "a" already set in map' in refused["message"]


async def test_a_field_that_preserves_unknown_ones_is_applied_freely(world: World) -> None:
    """Server-side apply takes unknown fields where the schema keeps them, and refuses unknown metadata."""
    await world.send("POST", CRDS, crd())
    headers = {"content-type": "application/apply-patch+yaml"}
    path = f"{WIDGETS}/w?fieldManager=m&fieldValidation=Strict"
    sent = {**widget(), "any": {"thing": [1]}}
    assert body(await world.send("PATCH", path, orjson.dumps(sent), headers=headers), 201)["any"] == {"thing": [1]}
    sent["metadata"]["more"] = 1
    refused = body(await world.send("PATCH", path, orjson.dumps(sent), headers=headers), 400)
    assert ".metadata.more: field not declared in schema" in refused["message"]


async def test_a_field_called_finalizers_holds_nothing(world: World) -> None:
    """Only a Namespace is held by spec.finalizers: a custom resource with such a field goes as any other."""
    body(await world.send("POST", CRDS, crd()), 201)
    held = widget(spec={"finalizers": ["mine"]})
    held["metadata"]["finalizers"] = ["example.com/hold"]
    body(await world.send("POST", WIDGETS, held), 201)
    body(await world.send("DELETE", f"{WIDGETS}/w"))
    await patch(world, f"{WIDGETS}/w", {"metadata": {"finalizers": []}})
    assert (await world.send("GET", f"{WIDGETS}/w")).status == 404


async def test_what_the_real_server_says_of_changes(world: World) -> None:
    """What may not change is told without what it was; stored versions come back; `status` is the root of a status."""
    schema = {"type": "object", "properties": {"status": {"type": "object", "properties": {
        "n": {"type": "integer", "maximum": 3}}}}}
    await world.send("POST", CRDS, crd(version(schema=schema, subresources={"status": {}})))
    refused = body(await patch(world, f"{CRDS}/widgets.example.com", {"spec": {"scope": "Cluster"}}), 422)
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in refused["message"]
    path = f"{CRDS}/widgets.example.com/status"
    found = body(await patch(world, path, {"status": {"storedVersions": None}}))
    assert found["status"]["storedVersions"] == ["v1"]
    await world.send("POST", WIDGETS, widget())
    refused = body(await patch(world, f"{WIDGETS}/w/status", {"status": {"n": 4}}), 422)
    assert "status.n: Invalid value: 4: n in body should be less than or equal to 3" in refused["message"]


async def test_only_a_patch_applies(world: World) -> None:
    await world.send("POST", CRDS, crd())
    sent = orjson.dumps(widget())
    refused = await world.send("POST", WIDGETS, sent, headers={"content-type": "application/apply-patch+yaml"})
    assert body(refused, 415)["reason"] == "UnsupportedMediaType"
