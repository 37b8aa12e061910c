from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.machinery import patch, schema
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import copy_obj

LIVE: dict[str, Any] = {
    "metadata": {"name": "w", "finalizers": ["a/a", "b/b"], "labels": {"x": "y"}},
    "spec": {"replicas": 1, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
             "template": {"spec": {"containers": [
                 {"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                 {"name": "b", "image": "y:1"}]}}}}


def strategic(change: Any) -> dict[str, Any]:
    node = schema.compiled("apps/v1", "Deployment")
    assert node is not None
    before = copy_obj(LIVE)
    out = patch.strategic_merge_patch(LIVE, change, node)
    assert before == LIVE
    return out


def containers(change: Any) -> Any:
    return strategic({"spec": {"template": {"spec": change}}})["spec"]["template"]["spec"]["containers"]


def test_elements_merge_by_their_key() -> None:
    """The patched element changes, its siblings stay; what is new comes first, as Kubernetes orders it."""
    out = containers({"containers": [{"name": "a", "env": [{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]}]})
    assert [e["name"] + e["value"] for e in out[0]["env"]] == ["C3", "A9", "B2"]
    assert out[0]["image"] == "x:1" and out[1] == {"name": "b", "image": "y:1"}


@pytest.mark.parametrize(("change", "names"), [
    ({"containers": [{"name": "b", "$patch": "delete"}]}, ["a"]),
    ({"containers": [{"name": "z", "image": "z"}, {"$patch": "replace"}]}, ["z"]),
    ({"containers": [{"name": "c"}]}, ["c", "a", "b"]),
    ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, ["b", "a"]),
    ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "q"}]},
     ["b", "a"]),
    ({"$setElementOrder/containers": [{"name": "a"}, {"name": "n"}, {"name": "b"}], "containers": [{"name": "n"}]},
     ["a", "n", "b"]),
    ({"containers": None, "restartPolicy": "Never"}, None)])
def test_directives_steer_lists(change: Any, names: list[str] | None) -> None:
    """Delete, replace, add, order, and null for the whole list."""
    out = strategic({"spec": {"template": {"spec": change}}})["spec"]["template"]["spec"].get("containers")
    assert (names is None and out is None) or [c["name"] for c in out] == names


def test_lists_of_scalars_merge_and_lose_elements() -> None:
    """Finalizers are a set: added without twins, taken out by $deleteFromPrimitiveList."""
    assert strategic({"metadata": {"finalizers": ["b/b", "c/c"]}})["metadata"]["finalizers"] == ["a/a", "b/b", "c/c"]
    gone = strategic({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/a"]}})
    assert gone["metadata"]["finalizers"] == ["b/b"]
    ordered = strategic({"metadata": {"$setElementOrder/finalizers": ["c/c", "a/a"], "finalizers": ["c/c"],
                                      "$deleteFromPrimitiveList/finalizers": ["b/b"]}})
    assert ordered["metadata"]["finalizers"] == ["c/c", "a/a"]


def test_directives_steer_maps() -> None:
    """$retainKeys keeps what it names, $patch replaces or empties a map, null deletes a key."""
    kept = strategic({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    assert kept["spec"]["strategy"] == {"type": "Recreate"}
    labels = strategic({"metadata": {"labels": {"$patch": "replace", "n": "1"}}})["metadata"]["labels"]
    assert labels == {"n": "1"}
    assert strategic({"metadata": {"labels": {"$patch": "delete"}}})["metadata"]["labels"] == {}
    assert "replicas" not in strategic({"spec": {"replicas": None}})["spec"]


@pytest.mark.parametrize(("change", "message"), [
    ({"spec": {"template": {"spec": {"containers": [{"image": "q"}]}}}},
     "map: map[image:q] does not contain declared merge key: name"),
    ({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}},
     "the server rejected our request due to an error in our request"),
    ({"spec": {"strategy": {"$retainKeys": "type"}}}, "invalid patch format of retainKeys"),
    ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, "invalid patch format of primitive list"),
    ({"metadata": {"labels": {"$patch": "x"}}}, "unknown patch type 'x' in map: map[$patch:x]"),
    ({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}}}},
     "The order in patch list:"),
    ([], "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}")])
def test_senseless_patches_are_refused(change: Any, message: str) -> None:
    """A 400 that says what is wrong, or a 422 of a sound patch that cannot be carried out."""
    with pytest.raises(ApiError) as refused:
        strategic(change)
    assert refused.value.code in (400, 422) and refused.value.message.startswith(message)


def test_json_patch_works_and_fails_as_a_whole() -> None:
    """Operations apply in order; a failing one leaves nothing done."""
    done = patch.json_patch(LIVE, [{"op": "test", "path": "/spec/replicas", "value": 1},
                                   {"op": "replace", "path": "/spec/replicas", "value": 3},
                                   {"op": "add", "path": "/metadata/finalizers/-", "value": "c/c"}])
    assert done["spec"]["replicas"] == 3 and done["metadata"]["finalizers"][-1] == "c/c"
    unsaid = patch.json_patch(LIVE, [{"op": "test", "path": "/spec/nope", "value": None},
                                     {"op": "replace", "path": "/spec/replicas"}])
    assert unsaid["spec"]["replicas"] is None  # what is not there, and what is not said, is null
    for bad in ([{"op": "remove", "path": "/spec/nope"}], [{"op": "test", "path": "/nope/nope", "value": None}],
                [{"op": "test", "path": "/spec/replicas", "value": 2}],
                [{"op": "x", "path": "/a"}], [{"op": "add"}], [5], [{"op": "add", "path": "a", "value": 1}]):
        with pytest.raises(ApiError) as refused:
            patch.json_patch(LIVE, bad)
        assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    with pytest.raises(ApiError, match="json: cannot unmarshal object into Go value"):
        patch.json_patch(LIVE, {"op": "add"})


JSON = st.recursive(st.none() | st.integers(0, 3) | st.sampled_from("ab"),
                    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


def _no_nulls(value: Any) -> Any:
    return {k: _no_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_leaves_its_target_alone(target: Any, change: Any) -> None:
    """RFC 7386: applying a patch twice is applying it once, and patching nothing gives the patch without nulls."""
    before = copy_obj(target)
    once = patch.merge_patch(target, change)
    assert patch.merge_patch(once, change) == once and target == before
    assert patch.merge_patch({}, change) == _no_nulls(change)
