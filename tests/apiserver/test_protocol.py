"""What the protocol below all kinds answers: names, options, patches, media, in the words of a real API server."""

from __future__ import annotations

import orjson
import pytest

from kubelab.machinery.request import Obj, Response, User

from .conftest import World, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE, STRATEGIC, JSON = (f"application/{name}+json" for name in ("merge-patch", "strategic-merge-patch", "json-patch"))
APPLY, YAML = "application/apply-patch+yaml", "application/yaml"
REJECTED = "the server rejected our request due to an error in our request"
NO_METHOD = "the server does not allow this method on the requested resource"
NOTHING = "the server could not find the requested resource"
UNNAMED = "the name of the object (a based on URL) was undeterminable: name must be provided"


async def send(world: World, method: str, path: str, body: object = None, media: str = "") -> Response:
    return await world.send(method, path, body, headers={"content-type": media} if media else {})


def status(response: Response) -> tuple[int, str]:
    assert isinstance(response.body, dict), response.body
    return response.status, response.body.get("message", "")


@pytest.mark.parametrize(("media", "query", "body", "code", "message"), [
    (MERGE, "", b'{"metadata":{"name":null}}', 400, UNNAMED),
    (MERGE, "", b'{"metadata":{"namespace":"x"}}', 400,
     "the namespace of the provided object does not match the namespace sent on the request"),
    (MERGE, "", b"[]", 400, "error decoding patch: json: cannot unmarshal array into Go value of type "
     "map[string]interface {}"),
    (STRATEGIC, "", b"x", 400, "invalid character 'x' looking for beginning of value"),
    (STRATEGIC, "", b'{"data":{"a":1}}', 422,
     ' "" is invalid: patch: Invalid value: "map[data:map[a:1]]": cannot convert int64 to string'),
    (STRATEGIC, "", b'{"immutable":"x"}', 422,
     ' "" is invalid: patch: Invalid value: "map[immutable:x]": unrecognized type: bool'),
    (STRATEGIC, "", b'{"metadata":{"creationTimestamp":5}}', 422, ' "" is invalid: patch: Invalid value: '
     '"map[metadata:map[creationTimestamp:5]]": json: cannot unmarshal number into Go value of type string'),
    (STRATEGIC, "", b'{"data":"x"}', 422,
     ' "" is invalid: patch: Invalid value: "map[data:x]": cannot restore map from string'),
    (STRATEGIC, "fieldValidation=Strict", b'{"data":{"a":"1","a":"2"},"z":1,"b":1}', 422,
     ' "" is invalid: patch: Invalid value: "map[b:1 data:map[a:2] z:1]": strict decoding error: duplicate field '
     '"data.a", unknown field "b", unknown field "z"'),
    (JSON, "", b"[1]", 400, "error decoding patch: json: cannot unmarshal number into Go value of type "
     "handlers.jsonPatchOp"),
    (JSON, "", b'[{"op":1}]', 400, "error decoding patch: json: cannot unmarshal number into Go struct field "
     "jsonPatchOp.op of type string"),
    (JSON, "", b'[{"op":"test","path":"/data/a","value":"c"}]', 422, REJECTED),
    (APPLY, "fieldManager=m", b"a: b\n c: d", 400, "error decoding YAML: error converting YAML to JSON: yaml: line 2: "
     "mapping values are not allowed in this context"),
    (APPLY, "fieldManager=m", b"- a", 400, "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: "
     "cannot unmarshal array into Go value of type map[string]interface {}"),
    (APPLY, "", b"{}", 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for '
     "apply patch")])
async def test_senseless_patches(world: World, media: str, query: str, body: bytes, code: int, message: str) -> None:
    """Each of the four patches words what is wrong with it in its own way."""
    await world.client.create("cm", config_map("a"))
    assert status(await send(world, "PATCH", f"{MAPS}/a?{query}", body, media)) == (code, message)


async def test_a_field_that_no_operation_has_is_warned_of(world: World) -> None:
    """A JSON patch with more than op, path, from and value is carried out, or refused where fields are strict."""
    await world.client.create("cm", config_map("a"))
    body = b'[{"op":"add","path":"/data/b","value":"1","oops":1}]'
    assert (await send(world, "PATCH", f"{MAPS}/a", body, JSON)).headers["warning"] == \
        r'299 - "json patch unknown field \"[0].oops\""'
    refused = await send(world, "PATCH", f"{MAPS}/a?fieldValidation=Strict", body, JSON)
    assert refused.status == 422 and status(refused)[1].endswith('json patch unknown field "[0].oops"')


async def test_yaml_keys_that_stand_twice(world: World) -> None:
    """The last of them counts, with a warning; a strict reader refuses them, an indifferent one says nothing."""
    text = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata:\n  a: x\n  a: z\n"
    strict = await send(world, "POST", f"{MAPS}?fieldValidation=Strict", text, YAML)
    assert status(strict) == (400, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
                                   'yaml: unmarshal errors:\n  line 6: key "a" already set in map')
    ignored = await send(world, "POST", f"{MAPS}?fieldValidation=Ignore&dryRun=All", text, YAML)
    assert (ignored.status, ignored.headers) == (201, {})
    warned = await send(world, "POST", MAPS, text, YAML)
    assert warned.headers["warning"] == r'299 - "line 6: key \"a\" already set in map"'
    assert (await world.client.get("cm", "a"))["data"] == {"a": "z"}
    applied = await send(world, "PATCH", f"{MAPS}/a?fieldManager=m&fieldValidation=Strict&force=1", text, APPLY)
    assert status(applied) == (400, "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal "
                                    'errors:\n  line 6: key "a" already set in map')


@pytest.mark.parametrize(("sent", "message"), [
    ({"apiVersion": "apps/v1"}, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: no kind "ConfigMap" is '
     'registered for version "apps/v1" in scheme "pkg/api/legacyscheme/scheme.go:30"'),
    ({"apiVersion": "apps/v1", "kind": "Deployment"}, 'Deployment in version "v1" cannot be handled as a ConfigMap: '
     "converting (v1.Deployment) to (core.ConfigMap): unknown conversion"),
    ({"kind": 1}, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json "
     "parse error: json: cannot unmarshal number into Go struct field .kind of type string ({\"kind\":1})"),
    ({"apiVersion": "a/b/c"}, "the object provided is unrecognized (must be of type ConfigMap): unexpected "
     'GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})')])
async def test_objects_of_another_kind_or_version(world: World, sent: Obj, message: str) -> None:
    """It matters whether the server knows the kind that was sent, and what it is called."""
    text = str(sent).replace("'", '"').replace(" ", "").encode()
    assert status(await send(world, "POST", MAPS, text)) == (400, message)


async def test_an_apply_makes_only_what_it_names_and_may_create(world: World) -> None:
    """Without a name, with the uid of something gone, or by one who may patch but not create: refused."""
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    path = f"{MAPS}/a?fieldManager=m"
    assert status(await send(world, "PATCH", path, head, APPLY)) == (400, UNNAMED)
    of_another = head | {"metadata": {"name": "a", "uid": "u"}}
    assert status(await send(world, "PATCH", path, of_another, APPLY)) == (
        409, 'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid u, and '
             "no existing object was found")
    await world.client.create("clusterroles", {"metadata": {"name": "patcher"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]})
    await world.client.create("clusterrolebindings", {
        "metadata": {"name": "patcher"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io",
                                                       "name": "pat"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "patcher"}})
    body = head | {"metadata": {"name": "a"}}
    refused = await world.send("PATCH", path, body, User("pat"), headers={"content-type": APPLY})
    assert refused.status == 403 and "cannot create resource" in status(refused)[1]
    await world.client.create("cm", config_map("a"))
    assert (await world.send("PATCH", path, body, User("pat"), headers={"content-type": APPLY})).status == 200


async def test_a_list_is_sound_whatever_order_its_objects_were_written_in(world: World) -> None:
    """A field that an apply gives up, and a body that begins with its data, leave no mark on the bytes of a list."""
    for data in ({"a": "1", "b": "2"}, {"a": "1"}):
        body = {"data": data, "metadata": {"name": "a"}, "kind": "ConfigMap", "apiVersion": "v1"}
        assert (await send(world, "PATCH", f"{MAPS}/a?fieldManager=m", body, APPLY)).status < 300
    listed = await send(world, "GET", MAPS)
    assert listed.encode is not None
    assert [item["data"] for item in orjson.loads(listed.encode())["items"]] == [{"a": "1"}]


@pytest.mark.parametrize(("method", "path", "code", "message"), [
    ("POST", "/api/v1/pods", 405, NO_METHOD), ("DELETE", "/api/v1/pods", 405, NO_METHOD),
    ("PUT", MAPS, 405, NO_METHOD), ("POST", f"{MAPS}/a", 405, NO_METHOD),
    ("GET", "/api/v1/pods/a", 404, NOTHING), ("GET", "/api/v1/namespaces/default/nope", 404, NOTHING),
    ("GET", "/api/v2", 404, NOTHING), ("GET", "/apis/apps/v9/x", 404, NOTHING)])
async def test_what_is_not_there_and_what_cannot_be_done(world: World, method: str, path: str, code: int,
                                                         message: str) -> None:
    """A known path with a method it has not, and no such path; neither has details."""
    answer = await send(world, method, path)
    assert status(answer) == (code, message)
    assert isinstance(answer.body, dict) and answer.body["details"] == {}


@pytest.mark.parametrize("path", ["/nope", "/apis/nope", "/apis/nope/v1", "/apis/nope/v1/namespaces/default/nopes"])
async def test_groups_that_are_not_there_have_no_status(world: World, path: str) -> None:
    """Nothing speaks for them but the HTTP server."""
    answer = await send(world, "GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


async def test_a_patch_to_another_kind(world: World) -> None:
    """A merge patch makes an object of no kind; a strategic one is merged by the structs of its own."""
    await world.client.create("cm", config_map("a"))
    refused = await send(world, "PATCH", f"{MAPS}/a", {"kind": "Foo"}, MERGE)
    assert refused.status == 422 and status(refused)[1].endswith(
        'no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"')
    assert (await send(world, "PATCH", f"{MAPS}/a", {"kind": "Foo"}, STRATEGIC)).status == 200


async def test_the_old_watch_paths_and_a_get_that_is_no_watch(world: World) -> None:
    """/watch/ before the resource watches it, also one by its name; ?watch on a name gets the object."""
    await world.client.create("cm", config_map("a"))
    await world.client.create("cm", config_map("b"))
    for path, names in (("", {"a", "b"}), ("/a", {"a"})):
        watched = await send(world, "GET", f"/api/v1/watch/namespaces/default/configmaps{path}")
        assert watched.events is not None
        found = {(await anext(watched.events)).obj["metadata"]["name"] for _ in names}
        assert found == names
        await watched.events.aclose()
    assert (await send(world, "GET", f"{MAPS}/a?watch=1")).events is None


async def test_delete_takes_its_options_from_one_place(world: World) -> None:
    """From the body where there is one, else from the query, preconditions included; a body must be of that kind."""
    await world.client.create("cm", config_map("a"))
    assert (await send(world, "DELETE", f"{MAPS}/a?uid=other")).status == 409
    assert status(await send(world, "DELETE", f"{MAPS}/a", {"kind": "ConfigMap"}))[0] == 400
    assert status(await send(world, "DELETE", f"{MAPS}/a", b"[]"))[0] == 400
    assert (await send(world, "DELETE", f"{MAPS}/a?dryRun=All")).status == 200
    assert (await send(world, "DELETE", f"{MAPS}/a?dryRun=All", {"propagationPolicy": "Background"})).status == 200
    assert (await send(world, "GET", f"{MAPS}/a")).status == 404


async def test_a_status_is_written_by_a_sound_object(world: World) -> None:
    """What a body says beside its status is not taken, yet it must be of the kind."""
    path = "/api/v1/namespaces/default/pods/p/status"
    await world.client.create("pods", pod("p"))
    both = b'{"spec":{"hostname":"h"},"status":{"message":"m"}}'
    assert (await send(world, "PATCH", path, both, MERGE)).status == 200
    stored = await world.client.get("pods", "p")
    assert (stored["status"]["message"], "hostname" in stored["spec"]) == ("m", False)
    for body in (b'{"spec":5}', b'{"spec":{"foo":1}}'):
        assert (await send(world, "PATCH", f"{path}?fieldValidation=Strict", body, MERGE)).status == 422
