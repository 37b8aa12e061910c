"""Custom resources: definitions, defaults, documents, selectable fields."""

from __future__ import annotations

from tests.conformance.conftest import Api, Obj
from tests.conformance.objects import CRDS, crd, established


def test_definitions_are_listed_and_deleted_by_label(api: Api) -> None:
    """Ten of one label are found, deleted together, and gone."""
    for n in range(10):
        definition = crd(f"lots{n}s", {"type": "object"}, group=f"lots{n}.example.com")
        definition["metadata"]["labels"] = {"lots": "yes"}
        api.made(CRDS, definition)
    assert len(api.get(f"{CRDS}?labelSelector=lots=yes")["items"]) == 10
    assert api.delete(f"{CRDS}?labelSelector=lots=yes").status == 200
    api.until(f"{CRDS}?labelSelector=lots=yes", lambda o: o["items"] == [])


def test_the_status_of_a_definition(api: Api) -> None:
    """Its status is read, updated and patched, and keeps what was written."""
    established(api, crd("states", {"type": "object"}))
    path = f"{CRDS}/states.story.example.com/status"
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
    read = api.get(path).body
    read["status"]["conditions"].append(condition)
    while (answer := api.put(path, read)).status == 409:
        read = api.get(path).body
        read["status"]["conditions"].append(condition)
    assert condition.items() <= answer["status"]["conditions"][-1].items()
    patched = api.patch(path, {"status": {"conditions": [condition]}})
    assert "StatusUpdate" in [c["type"] for c in patched["status"]["conditions"]]


def test_defaults_come_and_go_with_the_schema(api: Api, ns: str) -> None:
    """A default is shown of objects that were there before, and stays in those that were written with it."""
    schema: Obj = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    path = established(api, crd("defaults", schema)) + f"/namespaces/{ns}/defaults"
    body = {"apiVersion": "story.example.com/v1", "kind": "Default", "metadata": {"name": "one"}}
    assert "a" not in api.made(path, body)
    place = f"{CRDS}/defaults.story.example.com"

    def set_default(**of: str) -> None:
        properties = {name: {"type": "string"} | ({"default": of[name]} if name in of else {}) for name in "ab"}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        }
        assert api.patch(place, {"spec": {"versions": [version]}}).status == 200

    set_default(a="A")
    api.until(f"{path}/one", lambda o: o.get("a") == "A")
    assert api.made(path, {**body, "metadata": {"name": "two"}})["a"] == "A"
    set_default(b="B")
    shown = api.until(f"{path}/one", lambda o: o.get("b") == "B")
    assert "a" not in shown and api.get(f"{path}/two")["a"] == "A"


def test_openapi_follows_versions(api: Api) -> None:
    """A version that is renamed or no longer served leaves both OpenAPI documents."""
    definition = crd(
        "docs",
        {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer", "description": "how big"}}}
            },
        },
        group="docs.example.com",
    )
    second = {**definition["spec"]["versions"][0], "name": "v2", "storage": False}
    definition["spec"]["versions"].append(second)
    established(api, definition)

    def published(version: str) -> bool:
        old = api.get("/openapi/v2")["definitions"]
        new = api.get("/openapi/v3")["paths"]
        named = f"com.example.docs.{version}.Doc" in old
        assert named == (f"apis/docs.example.com/{version}" in new)
        return named

    assert published("v1") and published("v2")
    renamed = [definition["spec"]["versions"][0], {**second, "name": "v3"}]
    assert api.patch(f"{CRDS}/docs.docs.example.com", {"spec": {"versions": renamed}}).status == 200
    api.until("/apis/docs.example.com/v3", bool)
    assert published("v3") and not published("v2")
    stopped = [renamed[0], {**renamed[1], "served": False}]
    assert api.patch(f"{CRDS}/docs.docs.example.com", {"spec": {"versions": stopped}}).status == 200
    api.gone("/apis/docs.example.com/v3")
    assert published("v1") and not published("v3")


def test_custom_objects_are_selected_by_their_fields(api: Api, ns: str) -> None:
    """Lists and watches by selectable fields tell of objects that match, and of their leaving."""
    schema: Obj = {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "integer"}}}
    path = established(api, crd("hosts", schema, selectableFields=[{"jsonPath": ".host"}, {"jsonPath": ".port"}]))
    path += f"/namespaces/{ns}/hosts"
    for name, host, port in (("a", "one", 80), ("b", "two", 80), ("c", "one", 443)):
        api.made(
            path,
            {
                "metadata": {"name": name},
                "apiVersion": "story.example.com/v1",
                "kind": "Host",
                "host": host,
                "port": port,
            },
        )
    assert [o["metadata"]["name"] for o in api.get(f"{path}?fieldSelector=host=one")["items"]] == ["a", "c"]
    assert [o["metadata"]["name"] for o in api.get(f"{path}?fieldSelector=host=one,port=80")["items"]] == ["a"]
    since = api.get(path)["metadata"]["resourceVersion"]
    api.patch(f"{path}/a", {"host": "two"})
    api.patch(f"{path}/b", {"host": "one"})
    api.delete(f"{path}/c")
    told = api.events(
        f"{path}?fieldSelector=host=one&resourceVersion={since}", lambda t, o: o["metadata"]["name"] == "c"
    )
    assert [(t, o["metadata"]["name"]) for t, o in told] == [("DELETED", "a"), ("ADDED", "b"), ("DELETED", "c")]
    assert api.get(f"{path}?fieldSelector=nope=1").status == 400
