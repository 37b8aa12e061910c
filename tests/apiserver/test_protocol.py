"""What the protocol below all kinds answers: names, options, patches, media, in the words of a real API server."""

from __future__ import annotations

import orjson
import pytest

from kubelab.machinery.request import Obj, Response, User

from .conftest import World, config_map

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


async def test_a_name_that_is_taken(world: World) -> None:
    """It is said when its holder is about to go, and when a name was wished for beside one to be generated."""
    await world.client.create("cm", {"metadata": {"name": "a", "finalizers": ["a.b/c"]}})
    await world.client.delete("cm", "a")
    taken = 'object is being deleted: configmaps "a" already exists'
    assert status(await send(world, "POST", MAPS, config_map("a"))) == (409, taken)
    assert status(await send(world, "POST", f"{MAPS}?dryRun=All", config_map("a"))) == (409, taken)
    await world.client.create("cm", config_map("b"))
    both = await send(world, "POST", MAPS, {"metadata": {"name": "b", "generateName": "b-"}})
    assert status(both) == (409, 'configmaps "b" already exists, the server was not able to generate a unique name for '
                                 "the object")
    assert both.headers["retry-after"] == "1"


@pytest.mark.parametrize(("path", "kind"), [
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets/x", "poddisruptionbudgets.policy"),
    ("/apis/coordination.k8s.io/v1/namespaces/default/leases/x", "leases.coordination.k8s.io")])
async def test_kinds_of_which_an_update_must_know_the_version(world: World, path: str, kind: str) -> None:
    """Such an update is invalid, and names the resource where others name the kind."""
    await send(world, "POST", path.removesuffix("/x"), {"metadata": {"name": "x"}})
    assert status(await send(world, "PUT", path, {"metadata": {"name": "x"}})) == (
        422, f'{kind} "x" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update')


async def test_an_update_that_creates(world: World) -> None:
    """Some kinds are made by it, none of an object that a uid says is gone."""
    body = {"metadata": {"name": "a"}, "spec": {"limits": []}}
    limits = "/api/v1/namespaces/default/limitranges/a"
    assert (await send(world, "PUT", limits, body)).status == 201
    assert status(await send(world, "PUT", f"{MAPS}/a", config_map("a")))[0] == 404
    gone = body | {"metadata": {"name": "b", "uid": "u"}}
    assert status(await send(world, "PUT", limits[:-1] + "b", gone)) == (
        409, 'Operation cannot be fulfilled on limitranges "b": StorageError: invalid object, Code: 4, Key: '
             "/registry/limitranges/default/b, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
             "precondition: u, UID in object meta: ")


async def test_owners_that_stand_twice_are_left_once(world: World) -> None:
    """With a warning that says whose."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    metadata = {"name": "a", "ownerReferences": [owner] * 2}
    made = await send(world, "POST", MAPS, config_map("a") | {"metadata": metadata})
    assert made.headers["warning"].endswith('fix your requests; duplicate UID(s) observed: u"')
    assert (await world.client.get("cm", "a"))["metadata"]["ownerReferences"] == [owner]


async def test_field_managers_are_reset_or_set_by_a_client(world: World) -> None:
    """An empty list resets them; entries that cannot be read change nothing."""
    made = await world.client.create("cm", config_map("a"))
    before = made["metadata"]["managedFields"]
    path = f"{MAPS}/a"
    for wrong in ({"operation": "Other"}, {"fieldsType": ""}, {"apiVersion": ""}):
        body = {"metadata": {"managedFields": [before[0] | wrong]}}
        assert (await send(world, "PATCH", path, body, MERGE)).status == 200
        assert (await world.client.get("cm", "a"))["metadata"]["managedFields"] == before
    assert (await send(world, "PATCH", path, {"metadata": {"managedFields": []}}, MERGE)).status == 200
    assert "managedFields" not in (await world.client.get("cm", "a"))["metadata"]


async def test_a_watch_of_what_is_still_to_come(world: World) -> None:
    """It opens, and hears of nothing up to the revision that it was asked for."""
    made = await world.client.create("cm", config_map("a"))
    later = int(made["metadata"]["resourceVersion"]) + 1
    watcher = await world.watch(f"{MAPS}?resourceVersion={later}")
    for name in "bc":
        await world.client.create("cm", config_map(name))
    assert (await anext(watcher)).obj["metadata"]["name"] == "c"
    await watcher.aclose()
    assert (await send(world, "GET", f"{MAPS}/a?resourceVersion=999")).status == 504


async def test_marks_of_the_server_are_no_clients_to_change(world: World) -> None:
    """A patch that changes the uid, or pretends an end, is invalid; each cause stands there twice."""
    await world.client.create("cm", config_map("a"))
    body = {"metadata": {"uid": "u", "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5,
                         "generation": 7, "creationTimestamp": None}}
    refused = await send(world, "PATCH", f"{MAPS}/a", body, MERGE)
    fields = ['uid: Invalid value: "u"', 'deletionTimestamp: Invalid value: "2020-01-01T00:00:00Z"',
              "deletionGracePeriodSeconds: Invalid value: 5"]
    told = ", ".join(f"metadata.{field}: field is immutable" for field in fields)
    assert status(refused) == (422, f'ConfigMap "a" is invalid: [{told}]')
    assert isinstance(refused.body, dict) and len(refused.body["details"]["causes"]) == 6


async def test_what_does_not_fit_is_told_of_the_patch_as_it_was_sent(world: World) -> None:
    """An apply without a namespace is named without one, and values are written as Go writes them."""
    await world.client.create("cm", config_map("a"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": [{"a": 1}]}
    assert status(await send(world, "PATCH", f"{MAPS}/a?fieldManager=m", body, APPLY)) == (
        400, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data: expected map, got &{[map[a:1]]}")
