"""Structural schemas: pruning, defaults, and the node that apply walks."""

from __future__ import annotations

from typing import Any

from kubelab.machinery import structural

NAMED = {"name": {"type": "string"}, "port": {"type": "integer", "default": 80}}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"spec": {"type": "object", "default": {}, "properties": {
    "list": {"type": "array", "items": {"type": "object", "properties": NAMED}},
    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": NAMED}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {
        "strict": {"type": "object", "properties": NAMED}}},
    "text": {"type": "string", "default": "x"}, "null": {"type": "string", "nullable": True, "default": "y"}}}}}


def pruned(spec: Any) -> tuple[Any, list[str]]:
    unknown: list[str] = []
    out = structural.pruned(SCHEMA, {"kind": "K", "apiVersion": "v1", "metadata": {"name": "n"}, "spec": spec}, unknown)
    return out["spec"], unknown


def test_unknown_fields_go_at_every_depth() -> None:
    """In lists, in maps, and in known parts of what keeps unknown fields; their paths are told."""
    spec, unknown = pruned({"no": 1, "list": [{"name": "a", "no": 1}], "map": {"k": {"name": "b", "no": 1}},
                            "free": {"any": {"thing": 1}, "strict": {"name": "c", "no": 1}}})
    assert spec == {"list": [{"name": "a"}], "map": {"k": {"name": "b"}},
                    "free": {"any": {"thing": 1}, "strict": {"name": "c"}}}
    assert unknown == ["spec.free.strict.no", "spec.list[0].no", "spec.map.k.no", "spec.no"]


def test_nulls_go_where_they_are_not_allowed() -> None:
    """A null of a field that is not nullable is no value, and the default takes its place."""
    spec, _ = pruned({"text": None, "null": None})
    structural.drop_nulls(SCHEMA["properties"]["spec"], spec)
    structural.fill_defaults(SCHEMA["properties"]["spec"], spec)
    assert spec == {"text": "x", "null": None}


def test_defaults_reach_into_what_defaults_made() -> None:
    """A default object has its own fields defaulted, and elements of lists and maps have theirs."""
    obj: dict[str, Any] = {}
    structural.fill_defaults(SCHEMA, obj)
    assert obj == {"spec": {"text": "x", "null": "y"}}
    obj = {"spec": {"list": [{}], "map": {"k": {"port": 1}}}}
    structural.fill_defaults(SCHEMA, obj)
    assert obj["spec"]["list"] == [{"port": 80}] and obj["spec"]["map"] == {"k": {"port": 1}}


def test_the_schema_is_not_changed_by_what_it_defaults() -> None:
    """Each object has a default of its own."""
    one: dict[str, Any] = {}
    structural.fill_defaults(SCHEMA, one)
    one["spec"]["text"] = "changed"
    assert SCHEMA["properties"]["spec"]["default"] == {}


def test_the_node_for_apply_knows_metadata_and_lists() -> None:
    """Metadata is ObjectMeta; lists are atomic unless they say otherwise; int-or-string may be anything."""
    listed = {"type": "array", "items": {"type": "object", "properties": NAMED}}
    node = structural.node_of({"type": "object", "properties": {
        "a": listed, "m": {**listed, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        "i": {"x-kubernetes-int-or-string": True}}})
    assert node.fields["metadata"].struct == "ObjectMeta"
    assert node.fields["a"].atomic and node.fields["m"].keys == ("name",) and node.fields["i"].kind == "any"
