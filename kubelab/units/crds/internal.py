"""The versions of a definition as errors quote them: in the form that the API server keeps, with Go's names of fields.

Invariant: what all versions say alike is not theirs but the definition's, and so is left out.
Models:    apiextensions-apiserver/pkg/apis/apiextensions: types and their conversion from v1
"""

from __future__ import annotations

from typing import Any

from kubelab.machinery.request import Obj

_VERSION = {"Name": "", "Served": False, "Storage": False, "Deprecated": False, "DeprecationWarning": None,
            "Schema": None, "Subresources": None, "AdditionalPrinterColumns": None, "SelectableFields": None}
_SHARED = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
_COLUMN = {"Name": "", "Type": "", "Format": "", "Description": "", "Priority": 0, "JSONPath": ""}
_SCHEMA: Obj = {
    "ID": "", "Schema": "", "Ref": None, "Description": "", "Type": "", "Nullable": False, "Format": "", "Title": "",
    "Default": None, "Maximum": None, "ExclusiveMaximum": False, "Minimum": None, "ExclusiveMinimum": False,
    "MaxLength": None, "MinLength": None, "Pattern": "", "MaxItems": None, "MinItems": None, "UniqueItems": False,
    "MultipleOf": None, "Enum": None, "MaxProperties": None, "MinProperties": None, "Required": None, "Items": None,
    "AllOf": None, "OneOf": None, "AnyOf": None, "Not": None, "Properties": None, "AdditionalProperties": None,
    "PatternProperties": None, "Dependencies": None, "AdditionalItems": None, "Definitions": None,
    "ExternalDocs": None, "Example": None, "XPreserveUnknownFields": None, "XEmbeddedResource": False,
    "XIntOrString": False, "XListMapKeys": None, "XListType": None, "XMapType": None, "XValidations": None}
_EXTENSIONS = (("XPreserveUnknownFields", "preserve-unknown-fields"), ("XEmbeddedResource", "embedded-resource"),
               ("XIntOrString", "int-or-string"), ("XListMapKeys", "list-map-keys"), ("XListType", "list-type"),
               ("XMapType", "map-type"))
_RULE = {"Rule": "", "Message": "", "MessageExpression": "", "Reason": None, "FieldPath": "", "OptionalOldSelf": None}


def internal(versions: list[Obj] | None) -> list[Obj] | None:
    """Return the versions of a spec in that form, None where it names none."""
    if versions is None:
        return None
    shared = {part for part in _SHARED if all(v.get(part) == versions[0].get(part) for v in versions)}
    return [_version({k: v for k, v in version.items() if k not in shared}) for version in versions]


def _version(version: Obj) -> Obj:
    out = _filled(_VERSION, version)
    if (schema := version.get("schema")) is not None:
        given = schema.get("openAPIV3Schema")
        out["Schema"] = {"OpenAPIV3Schema": None if given is None else _schema(given)}
    if (parts := version.get("subresources")) is not None:
        scale = parts.get("scale")
        out["Subresources"] = {"Status": parts.get("status"), "Scale": None if scale is None else _filled(
            {"SpecReplicasPath": "", "StatusReplicasPath": "", "LabelSelectorPath": None}, scale)}
    if columns := version.get("additionalPrinterColumns"):
        out["AdditionalPrinterColumns"] = [_filled(_COLUMN, c) | {"JSONPath": c.get("jsonPath", "")} for c in columns]
    if fields := version.get("selectableFields"):
        out["SelectableFields"] = [{"JSONPath": field.get("jsonPath", "")} for field in fields]
    return out


def _filled(empty: Obj, given: Obj) -> Obj:
    """Return a struct with all its fields, those that are given in place of its zero values."""
    return {name: given.get(_wire(name), zero) for name, zero in empty.items()}


def _wire(name: str) -> str:
    return name[0].lower() + name[1:]


def _schema(schema: Obj) -> Obj:
    out = _filled(_SCHEMA, schema)
    out |= {name: schema.get(f"x-kubernetes-{word}", out[name]) for name, word in _EXTENSIONS}
    rules = schema.get("x-kubernetes-validations")
    out["XValidations"] = [_filled(_RULE, rule) for rule in rules] if rules else None
    out["Not"] = _schema(schema["not"]) if schema.get("not") is not None else None
    known = sorted((schema.get("properties") or {}).items())
    out["Properties"] = {name: _schema(child) for name, child in known} or None
    for word in ("AllOf", "OneOf", "AnyOf"):
        out[word] = [_schema(branch) for branch in schema[_wire(word)]] if schema.get(_wire(word)) else None
    for word, flag in (("Items", "JSONSchemas"), ("AdditionalProperties", "Allows")):
        out[word] = _one_of(schema.get(_wire(word)), flag)
    return out


def _one_of(given: Any, flag: str) -> Obj | None:
    """Return what may be a schema or something else: a list of schemas, or whether anything may be there."""
    if given is None:
        return None
    if flag == "Allows":
        return {"Allows": bool(given), "Schema": _schema(given) if isinstance(given, dict) else None}
    one = isinstance(given, dict)
    return {"Schema": _schema(given) if one else None, "JSONSchemas": None if one else [_schema(s) for s in given]}
