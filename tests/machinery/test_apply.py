from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kubelab.machinery.apply import LAST_APPLIED, apply, track_update
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import copy_obj

T1, T2 = "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"
HEAD = {"apiVersion": "v1", "kind": "ConfigMap"}


def sent(data: dict[str, str], **meta: Any) -> dict[str, Any]:
    return {**HEAD, "metadata": {"name": "s", **meta}, "data": data}


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": list(containers)}}


def test_two_managers_share_an_object() -> None:
    """Each owns what it applied, takes back only that, and both may own what they agree on."""
    obj = apply(None, sent({"a": "1", "b": "1"}), "one", False, T1)
    obj = apply(obj, sent({"b": "1", "c": "2"}), "two", False, T1)
    assert obj["data"] == {"a": "1", "b": "1", "c": "2"}
    obj = apply(obj, sent({"a": "1"}), "one", False, T2)
    assert obj["data"] == {"a": "1", "b": "1", "c": "2"}
    obj = apply(obj, sent({"c": "2"}), "two", False, T2)
    assert obj["data"] == {"a": "1", "c": "2"}


def test_a_conflict_names_every_field_and_its_manager() -> None:
    """One conflict stands in the message, several as a list, and all as causes."""
    live = track_update(None, sent({"a": "1", "b": "1"}), "kubectl-client-side-apply", "Update", "", T1)
    with pytest.raises(ApiError) as refused:
        apply(live, sent({"a": "2"}), "me", False, T2)
    assert refused.value.code == 409 and refused.value.message == \
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1: .data.a'
    assert refused.value.details == {"causes": [{"reason": "FieldManagerConflict", "field": ".data.a",
                                                 "message": 'conflict with "kubectl-client-side-apply" using v1'}]}
    with pytest.raises(ApiError) as refused:
        apply(live, sent({"a": "2", "b": "2"}), "me", False, T2)
    assert refused.value.message == ('Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using '
                                     'v1:\n- .data.a\n- .data.b')


def test_force_takes_fields_over() -> None:
    """The loser keeps what was not taken: here the map around the key."""
    live = track_update(None, sent({"a": "1"}), "one", "Update", "", T1)
    obj = apply(live, sent({"a": "2"}), "two", True, T2)
    assert obj["data"] == {"a": "2"}
    owners = {e["manager"]: e["fieldsV1"] for e in obj["metadata"]["managedFields"]}
    assert owners == {"two": {"f:data": {"f:a": {}}}, "one": {"f:data": {}}}


def test_the_same_again_is_no_change() -> None:
    """Applying twice returns the stored object itself."""
    obj = apply(None, sent({"a": "1"}), "one", False, T1)
    assert apply(obj, sent({"a": "1"}), "one", False, T2) is obj


def test_live_objects_are_never_changed() -> None:
    """Whatever is applied, the stored object stays as it was."""
    live = apply(None, pod({"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}), "one", False, T1)
    before = copy_obj(live)
    apply(live, pod({"name": "a", "image": "2"}, {"name": "b", "image": "1"}), "one", False, T2)
    apply(live, pod({"name": "a", "image": "2"}), "two", True, T2)
    assert live == before


def test_elements_come_and_go_by_their_key() -> None:
    """A container belongs to who applied it, also when another adds a field to it; order follows the applied one."""
    obj = apply(None, pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "one", False, T1)
    obj = apply(obj, pod({"name": "b", "workingDir": "/w"}, {"name": "c", "image": "1"}), "two", False, T1)
    assert [c["name"] for c in obj["spec"]["containers"]] == ["a", "b", "c"]
    obj = apply(obj, pod({"name": "a", "image": "1"}), "one", False, T2)
    assert obj["spec"]["containers"] == [{"name": "a", "image": "1"}, {"name": "b", "workingDir": "/w"},
                                         {"name": "c", "image": "1"}]
    obj = apply(obj, pod({"name": "c", "image": "1"}, {"name": "a", "image": "1"}), "two", False, T2)
    assert [c["name"] for c in obj["spec"]["containers"]] == ["c", "a"]


def test_an_untracked_object_gets_a_manager_for_its_past() -> None:
    """What was there before the first apply belongs to before-first-apply."""
    live = sent({"a": "1"})
    obj = apply(live, sent({"b": "1"}), "one", False, T1)
    assert [(e["manager"], e["operation"]) for e in obj["metadata"]["managedFields"]] == [
        ("one", "Apply"), ("before-first-apply", "Update")]


def test_kubectl_may_move_from_client_side_to_server_side_apply() -> None:
    """Fields that its own annotation shows as applied are no conflict, and the annotation is kept in step."""
    note = {LAST_APPLIED: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"},"data":{"a":"1"}}'}
    live = track_update(None, sent({"a": "1"}, annotations=note), "kubectl-client-side-apply", "Update", "", T1)
    obj = apply(live, sent({"a": "2"}), "kubectl", False, T2)
    assert obj["data"] == {"a": "2"} and '"a":"2"' in obj["metadata"]["annotations"][LAST_APPLIED]
    with pytest.raises(ApiError, match="Apply failed with 1 conflict"):
        apply(live, sent({"a": "2"}), "somebody", False, T2)


@pytest.mark.parametrize(("applied", "message"), [
    (pod({"name": "a"}, {"name": "a"}), '.spec.containers: duplicate entries for key [name="a"]'),
    (pod({"name": "a", "imagee": "x"}), '.spec.containers[name="a"].imagee: field not declared in schema'),
    (pod({"image": "x"}), '.spec.containers: element 0: associative list with keys has an element that omits key field '
                          '"name" (and doesn\'t have default value)'),
    ({**pod(), "spec": {"activeDeadlineSeconds": "x", "hostNetwork": 1}},
     "errors:\n  .spec.activeDeadlineSeconds: expected numeric (int or float), got string\n"
     "  .spec.hostNetwork: expected boolean, got 1")])
def test_what_does_not_fit_the_schema_is_refused(applied: dict[str, Any], message: str) -> None:
    """The error names the object, its kind and the field."""
    with pytest.raises(ApiError) as refused:
        apply(None, applied, "one", False, T1)
    assert refused.value.message == f"failed to create typed patch object (/p; /v1, Kind=Pod): {message}"


def test_recorded_applies_end_the_same(recorded: Any) -> None:
    """Replaying each recorded apply on the recorded object before it gives the recorded owners, data or conflict."""
    stored: dict[str, Any] = {}
    compared = 0
    for case in recorded("writes"):
        for step in case["steps"]:
            request, answer = step.get("request"), step.get("response", {}).get("body")
            if not request or not isinstance(answer, dict):
                continue
            url = urlsplit(request["path"])
            query, key = dict(parse_qsl(url.query)), url.path.removesuffix("/status")
            if request.get("contentType") == "application/apply-patch+yaml" and case["case"] != "apply errors":
                time = T1 if answer["kind"] == "Status" else answer["metadata"]["managedFields"][0]["time"]
                try:
                    ours = apply(stored.get(key), request["body"], query["fieldManager"], query.get("force") == "true",
                                 time, subresource="status" if url.path.endswith("/status") else "")
                except ApiError as error:
                    ours = error.status
                assert ours.get("message") == answer.get("message")
                assert ours["metadata"].get("managedFields") == answer["metadata"].get("managedFields"), case["case"]
                assert ours.get("data") == answer.get("data")
                compared += 1
            if (answer.get("metadata") or {}).get("name") and answer["kind"] != "Scale" and "dryRun" not in query:
                stored[key] = answer
    assert compared > 10


def test_an_empty_map_stays_with_whom_it_belongs_to() -> None:
    """A map that others empty remains its owner's, and an applier loses nothing that it never applied."""
    made = {**HEAD, "metadata": {"name": "s", "uid": "u", "labels": {"a": "1"}}}
    obj = track_update(None, made, "zero", "Update", "", T1)
    obj = apply(obj, {**HEAD, "metadata": {"name": "s", "labels": {"a": "2", "c": "1"}}}, "two", True, T1)
    obj = apply(obj, {**HEAD, "metadata": {"name": "s", "labels": {}}}, "two", False, T2)
    assert obj["metadata"]["name"] == "s" and obj["metadata"]["uid"] == "u"
    owners = {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}
    assert owners == {"zero": {"f:metadata": {"f:labels": {}}}, "two": {"f:metadata": {"f:labels": {}}}}
