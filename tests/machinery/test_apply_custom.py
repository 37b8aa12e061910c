"""Server-side apply of custom resources: keys with defaults, applies without change, whose the status is."""

from __future__ import annotations

from typing import Any

from kubelab.machinery import structural
from kubelab.machinery.apply import apply, track_update

T1, T2 = "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {
    "status": {"type": "object", "properties": {"x": {"type": "integer"}}},
    "spec": {"type": "object", "properties": {"a": {"type": "string"}, "ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "proto"],
        "items": {"type": "object", "required": ["port"], "properties": {
            "port": {"type": "integer"}, "proto": {"type": "string", "default": "TCP"}, "v": {"type": "integer"}}}}}}}}
NODE = structural.node_of(SCHEMA)


def sent(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "o.example.com/v1", "kind": "Thing", "metadata": {"name": "x"}, **parts}


def owned(obj: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", ())}


def test_a_key_that_is_left_out_has_its_default() -> None:
    """An element sent without the key is the stored one, and is owned under the whole key."""
    live = apply(None, sent(spec={"ports": [{"port": 80, "proto": "TCP", "v": 1}]}), "one", False, T1, node=NODE)
    live = apply(live, sent(spec={"ports": [{"port": 80, "v": 1}]}), "two", False, T2, node=NODE)
    assert live["spec"]["ports"] == [{"port": 80, "proto": "TCP", "v": 1}]
    assert list(owned(live)["two"]["f:spec"]["f:ports"]) == ['k:{"port":80,"proto":"TCP"}']


def test_who_changes_nothing_has_no_time() -> None:
    """A manager's time is that of its last change of the object: one that only joins in has none."""
    live = apply(None, sent(spec={"a": "1"}), "one", False, T1, node=NODE)
    live = apply(live, sent(spec={"a": "1"}), "two", False, T2, node=NODE)
    assert [(e["manager"], e.get("time")) for e in live["metadata"]["managedFields"]] == [("two", None), ("one", T1)]


def test_the_last_to_leave_leaves_no_list() -> None:
    """An object that nobody owns anything of has no managedFields."""
    live = apply(None, sent(spec={"a": "1"}), "one", False, T1, node=NODE)
    assert "managedFields" not in apply(live, sent(), "one", False, T2, node=NODE)["metadata"]


def test_a_status_that_is_no_subresource_is_a_field_like_others() -> None:
    """It is its writer's; where there is a subresource, the main resource does not own it."""
    whole = structural.node_of(SCHEMA, status_apart=False)
    made = track_update(None, sent(status={"x": 1}), "me", "Update", "", T1, whole)
    assert owned(made) == {"me": {"f:status": {".": {}, "f:x": {}}}}
    assert owned(track_update(None, sent(status={"x": 1}), "me", "Update", "", T1, NODE)) == {}
