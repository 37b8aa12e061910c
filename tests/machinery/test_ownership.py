from __future__ import annotations

from typing import Any

from kubelab.machinery.meta import copy_obj
from kubelab.machinery.ownership import MAX_UPDATE_MANAGERS, track_update

T1, T2 = "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"


def config_map(data: dict[str, str] | None) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    return out | {"data": data} if data else out


def fields(obj: dict[str, Any]) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in obj["metadata"].get("managedFields", [])}


def test_a_writer_owns_what_it_changes_and_others_lose_it() -> None:
    """Creation owns all it says; an update takes over the changed key and frees the removed one."""
    first = track_update(None, config_map({"a": "1", "b": "1", "c": "1"}), "one", "Update", "", T1)
    assert fields(first) == {"one": {"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}}}
    second = track_update(first, config_map({"a": "1", "b": "2"}), "two", "Update", "", T2)
    assert fields(second) == {"one": {"f:data": {".": {}, "f:a": {}}}, "two": {"f:data": {"f:b": {}}}}
    assert [e["time"] for e in second["metadata"]["managedFields"]] == [T1, T2]


def test_a_write_that_changes_nothing_keeps_the_entries() -> None:
    """The very list of before, times included."""
    first = track_update(None, config_map({"a": "1"}), "one", "Update", "", T1)
    again = track_update(first, config_map({"a": "1"}), "two", "Update", "", T2)
    assert again["metadata"]["managedFields"] is first["metadata"]["managedFields"]


def test_status_and_spec_have_owners_of_their_own() -> None:
    """A status write is entered with its subresource; a main write does not own the status it carries along."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"a": "b"}},
            "status": {"phase": "x"}}
    first = track_update(None, copy_obj(node), "kubelet", "Update", "", T1)
    assert fields(first) == {"kubelet": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}}
    changed = copy_obj(first)
    changed["status"] = {"phase": "y"}
    entries = track_update(first, changed, "kubelet", "Update", "status", T2)["metadata"]["managedFields"]
    assert [e.get("subresource") for e in entries] == [None, "status"]


def test_an_object_that_says_nothing_is_not_tracked() -> None:
    """Without fields there is no entry, and an untracked object stays so."""
    bare = track_update(None, config_map(None), "one", "Update", "", T1)
    assert "managedFields" not in bare["metadata"]
    assert "managedFields" not in track_update(bare, config_map({"a": "b"}), "two", "Update", "", T2)["metadata"]


def test_clients_may_set_and_reset_managed_fields() -> None:
    """What an update carries replaces the entries; [] or [{}] clears them; nonsense is passed over."""
    first = track_update(None, config_map({"a": "1"}), "one", "Update", "", T1)
    entry = first["metadata"]["managedFields"][0]

    def given(entries: Any) -> dict[str, Any]:
        new = config_map({"a": "1"})
        new["metadata"]["managedFields"] = entries
        return fields(track_update(first, new, "two", "Update", "", T2))

    assert list(given([{**entry, "manager": "renamed"}])) == ["renamed"]
    assert given([{}]) == {} == given([])
    assert list(given([5])) == ["one"] == list(given(None))


def test_the_oldest_updaters_are_merged() -> None:
    """Ten updaters are kept apart; who came before them shares one entry."""
    obj = track_update(None, config_map({"k0": "0"}), "m0", "Update", "", T1)
    for i in range(1, 14):
        data = {**obj["data"], f"k{i}": "0"}
        obj = track_update(obj, config_map(data), f"m{i:02}", "Update", "", f"2026-01-02T03:05:{i:02}Z")
    owners = fields(obj)
    assert len(owners) == MAX_UPDATE_MANAGERS and "m13" in owners
    assert {"f:k0", "f:k1"} <= set(owners["ancient-changes"]["f:data"])


def test_real_objects_are_tracked_as_recorded(recorded: Any) -> None:
    """For every recorded object whose fields no admission step added, our entry is the recorded one."""
    agreed = 0
    for case in recorded("defaults"):
        body = case["steps"][-1]["response"]["body"]
        kind = body.get("kind")
        if kind in ("Namespace", "Node", "Pod", "Service", "PersistentVolume", "Job", "ClusterRole"):
            continue  # the server fills in more after tracking: finalizers, taints, volumes, null for no rules
        new = copy_obj(body)
        real = new["metadata"].pop("managedFields", [])
        if real or kind == "ServiceAccount":
            track_update(None, new, "unknown", "Update", "", real[0]["time"] if real else T1)
            assert new["metadata"].get("managedFields", []) == real, case["case"]
            agreed += 1
    assert agreed > 20


def test_illegible_managed_fields_from_a_client_are_not_taken() -> None:
    """A client may send managedFields back, but what is no field set is ignored, and the stored ones go on."""
    old = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "managedFields": [
        {"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
         "fieldsV1": {"f:data": {"f:a": {}}}}]}, "data": {"a": "1"}}
    for junk in ([{"fieldsV1": {"f:data": 5}}], [{"fieldsV1": {"k:{": {}}}], [{"manager": [], "fieldsV1": {}}], ["x"]):
        new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "managedFields": junk},
               "data": {"a": "1"}}
        track_update(old, new, "b", "Update", "", "2026-01-02T03:04:05Z")
        assert new["metadata"]["managedFields"] == old["metadata"]["managedFields"]
