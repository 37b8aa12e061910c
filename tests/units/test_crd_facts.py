"""CustomResourceDefinitions: what a real API server 1.36 says of schemas and versions, as facts.

Models: apiextensions-apiserver, asked over HTTP with `dryRun=All`
"""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units import crd

SCHEMA = "spec.validation.openAPIV3Schema"
OF_A = f"{SCHEMA}.properties[a]"
LIST, KEYS, MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
NAMED = {"type": "object", "properties": {"k": {"type": "string"}}}
EMPTY = "must be empty to be structural"
NOT_META = ("Forbidden: must not specify anything other than name and generateName, but metadata is implicitly "
            "specified")


def told(schema: Any, **version: Any) -> list[str]:
    """Return what is wrong with a definition with this schema, the schema's place written as `@`."""
    made = {"metadata": {"name": "things.o.example.com"}, "spec": {
        "group": "o.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, **version,
                      "schema": {"openAPIV3Schema": schema}}]}}
    crd.default(made)
    crd.prepare_create(made)
    return [str(error).replace(OF_A, "@") for error in crd.validate(made)]


@pytest.mark.parametrize(("part", "wanted"), [
    ({"type": "null"}, ['@.type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", '
                        '"object", "string"',
                        "@.type: Forbidden: type cannot be set to null, use nullable as an alternative"]),
    ({"type": "object", "additionalProperties": False, "properties": {"b": {"type": "string"}}},
     ["@.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"]),
    ({"type": "string", "additionalItems": False}, ["@.additionalItems: Forbidden: additionalItems is not supported"]),
    ({"$ref": "#/x"}, ["@.$ref: Forbidden: $ref is not supported"]),
    ({"type": "string", "$schema": "x"}, [f"{SCHEMA}: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"]),
    ({"type": "string", "not": {"title": "x", "default": 1, "nullable": True}},
     ["@.not.default: Forbidden: must be undefined to be structural", "@.not.nullable: Forbidden: must be false to be "
      "structural", f"@.not.title: Forbidden: {EMPTY}"]),
    ({"type": "object", "oneOf": [{LIST: "set"}, {KEYS: ["a"]}]},
     ["@.oneOf[0].x-kubernetes-list-type: Forbidden: must be undefined to be structural",
      f"@.oneOf[1].x-kubernetes-list-map-keys: Forbidden: {EMPTY}",
      "@.oneOf[0].type: Required value: must be array if x-kubernetes-list-type is specified",
      "@.oneOf[1].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty"]),
    ({"x-kubernetes-int-or-string": True, "oneOf": [{"type": "integer"}, {"type": "string"}]},
     [f"@.oneOf[0].type: Forbidden: {EMPTY}", f"@.oneOf[1].type: Forbidden: {EMPTY}"]),
    ({"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}, []),
    ({"type": "string", "x-kubernetes-embedded-resource": True},
     ["@.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
      "x-kubernetes-preserve-unknown-fields",
      '@.type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true']),
    ({"type": "array", "items": NAMED, LIST: "set"},
     ["@.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with "
      "x-kubernetes-list-type=set"]),
    ({"type": "array", "items": NAMED, LIST: "map", KEYS: ["k", "k", "no"]},
     ['@.x-kubernetes-list-map-keys: Invalid value: ["k","k","no"]: must not contain duplicate entries',
      '@.x-kubernetes-list-map-keys: Invalid value: ["k","k","no"]: entries must all be names of item properties',
      *["@.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must "
        "have a default or be a required property"] * 2]),
    ({"type": "array", "items": {"type": "string"}, LIST: "map", KEYS: ["k"]},
     ['@.items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map']),
    ({"type": "string", MAP: ""}, [
        '@.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified',
        '@.x-kubernetes-map-type: Unsupported value: "": supported values: "atomic", "granular"']),
    ({"type": "object", "default": {"a": 1}}, ['@.default: Invalid value: {"a":1}: must not have unknown fields']),
    ({"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True,
      "default": {}}, ["@.default.apiVersion: Required value", "@.default.kind: Required value"]),
    ({"type": "array", "items": {"type": "string"}, LIST: "set", "default": ["a", "a"]}, []),
    ({"type": "string", "x-kubernetes-validations": [{"rule": "true", "message": "a\nb", "reason": "No",
                                                      "fieldPath": ".x"}]},
     ['@.x-kubernetes-validations[0].message: Invalid value: "a\\nb": must not contain line breaks',
      '@.x-kubernetes-validations[0].reason: Unsupported value: "No": supported values: "FieldValueDuplicate", '
      '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
      '@.x-kubernetes-validations[0].fieldPath: Invalid value: ".x": must be a valid path']),
])
def test_what_is_said_of_a_property(part: dict[str, Any], wanted: list[str]) -> None:
    """Every mistake is told once, in Kubernetes' order."""
    assert told({"type": "object", "properties": {"a": part}}) == wanted


@pytest.mark.parametrize(("schema", "wanted"), [
    ({"type": "object", "additionalProperties": {"type": "string"}},
     [f"{SCHEMA}.additionalProperties: Forbidden: must not be used at the root"]),
    ({"x-kubernetes-preserve-unknown-fields": True}, []),
    ({"type": "object", "properties": {"metadata": {"type": "object", "maxProperties": 2}}},
     [f"{SCHEMA}.properties[metadata]: {NOT_META}"]),
    ({"type": "object", "properties": {"apiVersion": {"type": "integer"}}},
     [f'{SCHEMA}.properties[apiVersion].type: Invalid value: "integer": must be string']),
    ({"type": "object", "allOf": [{"properties": {"no": {"minLength": 1}}}]},
     [f"{SCHEMA}.properties[no]: Required value: because it is defined in {SCHEMA}.allOf[0].properties[no]"]),
    ({"type": "object", "default": {}}, [f"{SCHEMA}.default.apiVersion: Required value",
                                         f"{SCHEMA}.default.kind: Required value"]),
])
def test_what_is_said_of_the_root(schema: dict[str, Any], wanted: list[str]) -> None:
    """The root is an object, and what every object has is not its schema's to describe."""
    assert told(schema) == wanted


@pytest.mark.parametrize(("version", "wanted"), [
    ({"deprecationWarning": "x"}, ['spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for '
                                   "deprecated versions"]),
    ({"deprecated": True, "deprecationWarning": "ü\x01"},
     ['spec.versions[0].deprecationWarning: Invalid value: "ü\\u0001": must only contain printable UTF-8 characters; '
      "non-printable character found at index 2"]),
    ({"name": "V1"}, ['spec.versions[0].name: Invalid value: "V1": a DNS-1035 label', 'spec.version: Invalid value: '
                      '"V1": a DNS-1035 label']),
    ({"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a", "format": "foo"}]},
     ['spec.additionalPrinterColumns[0].format: Invalid value: "foo": must be one of byte,date,date-time,double,float,'
      "int32,int64,password"]),
    ({"selectableFields": [{"jsonPath": ".a b"}]}, ['spec.selectableFields[0].jsonPath: Invalid value: ".a b": is an '
                                                    "invalid path: does not refer to a valid field"]),
    ({"storage": False}, [
        'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,'
        '"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,'
        '"SelectableFields":null}]: must have exactly one version marked as storage version',
        "status.storedVersions: Invalid value: null: must have at least one stored version"]),
    ({"subresources": {"scale": {"specReplicasPath": ".spec.a[0]", "statusReplicasPath": ".status."}}}, []),
])
def test_what_is_said_of_a_version(version: dict[str, Any], wanted: list[str]) -> None:
    """What stands beside the schema has rules of its own."""
    found = told({"type": "object"}, **version)
    assert [text[:len(want)] for text, want in zip(found, wanted, strict=True)] == wanted


def test_formats_that_nothing_checks_are_warned_of() -> None:
    """A format of another type is as unknown as one that nobody knows."""
    schema = {"type": "object", "properties": {"a": {"type": "integer", "format": "date"}, "b": {
        "type": "string", "format": "date-time"}}}
    made = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}] * 2}}
    assert crd.warnings(made, None) == ['unrecognized format "date"']
    assert crd.warnings(made, made) == []
