"""CustomResourceDefinition: what may be defined."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.meta import copy_obj
from kubelab.units import crd


def definition(schema: Any = None, **version: Any) -> dict[str, Any]:
    schema = {"type": "object"} if schema is None else schema
    made = {"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, **version,
                      "schema": {"openAPIV3Schema": schema}}]}}
    crd.default(made)
    crd.prepare_create(made)
    return made


def told(made: dict[str, Any]) -> list[str]:
    return [str(error) for error in crd.validate(made)]


def test_defaults() -> None:
    """Singular and list kind follow from the kind; conversion is none."""
    spec = definition()["spec"]
    assert spec["names"] == {"plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList"}
    assert spec["conversion"] == {"strategy": "None"}
    assert told(definition()) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"group": ""}, "spec.group: Required value"),
    ({"group": "example"}, 'spec.group: Invalid value: "example": should be a domain with at least one dot'),
    ({"scope": "Galaxy"}, 'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
    ({"group": "x.k8s.io"}, "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must "
     'have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'),
    ({"conversion": {"strategy": "Webhook"}},
     "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook"),
    ({"names": {"plural": "Widgets", "kind": "Widget", "listKind": "Widget"}},
     'spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same'),
])
def test_what_a_definition_may_not_say(change: dict[str, Any], message: str) -> None:
    """Each mistake is told at its field."""
    made = definition()
    made["spec"] |= change
    assert message in told(made)


@pytest.mark.parametrize(("schema", "message"), [
    ({}, "type: Required value: must not be empty at the root"),
    ({"type": "string"}, 'type: Invalid value: "string": must be object at the root'),
    ({"type": "object", "properties": {"a": {}}},
     "properties[a].type: Required value: must not be empty for specified object fields"),
    ({"type": "object", "properties": {"a": {"type": "array"}}},
     "properties[a].items: Required value: must be specified"),
    ({"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
     "properties[a].items.type: Required value: must not be empty for specified array items"),
    ({"type": "object", "properties": {"a": {"type": "object"}}, "additionalProperties": {"type": "string"}},
     "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
    ({"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}},
     "properties[a].anyOf[0].type: Forbidden: must be empty to be structural"),
    ({"type": "object", "properties": {"a": {"type": "integer", "minimum": 3, "default": 1}}},
     "properties[a].default: Invalid value: 1:  in body should be greater than or equal to 3"),
    ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
     "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is "
     "implicitly specified"),
    ({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"},
                                             "x-kubernetes-list-type": "map"}}},
     "properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"),
])
def test_a_schema_has_to_be_structural(schema: dict[str, Any], message: str) -> None:
    """What could not be pruned, defaulted or merged without doubt is refused."""
    assert f"spec.validation.openAPIV3Schema.{message}" in told(definition(schema))


@pytest.mark.parametrize(("part", "message"), [
    ({"type": "array", "items": "x"}, "items: Required value: must be specified"),
    ({"type": "array", "items": {"type": "object", "properties": "x"}},
     'items: Invalid value: {"properties":"x","type":"object"}: json: cannot unmarshal string'),
    ({"type": "object", "additionalProperties": 5},
     "additionalProperties: Invalid value: 5: must be a schema or a boolean"),
    ({"type": "object", "anyOf": [{"items": [{}]}]}, "anyOf[0].items: Forbidden: items must be a schema object"),
])
def test_what_is_no_schema_is_told_first(part: dict[str, Any], message: str) -> None:
    """Where the API's own types leave a schema open, nonsense is refused before anything walks it."""
    found = told(definition({"type": "object", "properties": {"a": part}}))
    assert [text.startswith(f"spec.validation.openAPIV3Schema.properties[a].{message}") for text in found] == [True]


def test_int_or_string_may_be_written_in_full() -> None:
    """The usual anyOf beside x-kubernetes-int-or-string is structural."""
    field = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert told(definition({"type": "object", "properties": {"a": field}})) == []


def test_columns_scale_and_selectable_fields() -> None:
    """Their paths have to be paths, and in the right place."""
    where = "spec.additionalPrinterColumns[0]"
    assert told(definition(additionalPrinterColumns=[{"name": "A", "type": "str", "jsonPath": "a"}])) == [
        f'{where}.type: Invalid value: "str": must be one of boolean,date,integer,number,string',
        f"{where}.JSONPath: Invalid value: \"a\": must be a simple json path starting with ."]
    scale = {"specReplicasPath": ".status.a", "statusReplicasPath": ".status.b"}
    assert told(definition(subresources={"scale": scale})) == [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec']
    assert "array notation is not allowed" in told(definition(selectableFields=[{"jsonPath": "['spec']"}]))[0]


def test_what_is_established_keeps_its_names() -> None:
    """Scope and names cannot change once objects may exist."""
    old = definition()
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    new = copy_obj(old)
    new["spec"] |= {"scope": "Cluster"}
    told_ = [str(error) for error in crd.validate_update(new, old)]
    assert told_ == ['spec.scope: Invalid value: "Cluster": field is immutable']
