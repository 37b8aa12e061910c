"""What the OpenAPI documents say of custom resources.

    CustomSchema ─► com.example.v1.Widget (apiVersion, kind, metadata, then its own) and com.example.v1.WidgetList

Models:    apiextensions-apiserver/pkg/controller/openapi/builder
"""

from __future__ import annotations

from kubelab.machinery import schema
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import EMBEDDED, INT_OR_STRING, PRESERVE
from kubelab.units.catalogue import Kind

REF = "#/components/schemas/"
META = f"{REF}io.k8s.apimachinery.pkg.apis.meta.v1."
_NOT_IN_2 = ("nullable", "oneOf", "anyOf", "allOf", "not", "x-kubernetes-validations")


def name_of(kind: Kind, answer: str) -> str | None:
    """Return the definition of a custom kind or its list, None for what else it may answer with."""
    if answer == kind.kind:
        return str(kind.own.definition_name)
    return f"{kind.own.definition_name}List" if answer == f"{kind.kind}List" else None


def definitions(kind: Kind, *, swagger_2: bool = False) -> dict[str, Obj]:
    """Return the definitions of a custom kind and of its list."""
    gvk = {"group": kind.group, "version": kind.version}
    own = _as_version_2(kind.own.schema) if swagger_2 else _with_meta(kind.own.schema, root=True)
    keeps_all = swagger_2 and kind.own.schema.get(PRESERVE)
    if not keeps_all:
        own = {**own, "properties": {**(own.get("properties") or {}), **_type_meta(), "metadata": {
            "allOf": [{"$ref": f"{META}ObjectMeta"}], "description": schema.describe("v1", "ConfigMap", "metadata")}}}
    name = kind.own.definition_name
    items = {"type": "array", "items": {"$ref": REF + name}, "description": f"List of {kind.plural}. More info: "
             "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"}
    return {
        name: {**own, "x-kubernetes-group-version-kind": [{**gvk, "kind": kind.kind}]},
        f"{name}List": {
            "description": f"{kind.kind}List is a list of {kind.kind}", "type": "object", "required": ["items"],
            "properties": {**_type_meta(), "items": items, "metadata": {"$ref": f"{META}ListMeta"}},
            "x-kubernetes-group-version-kind": [{**gvk, "kind": kind.list_kind or f"{kind.kind}List"}]}}


def _type_meta() -> dict[str, Obj]:
    return {key: {"type": "string", "description": schema.describe("v1", "ConfigMap", key)}
            for key in ("apiVersion", "kind")}


def _with_meta(part: Obj, *, root: bool = False) -> Obj:
    """Say what is in an embedded resource besides what its schema tells."""
    out = dict(part)
    if "properties" in part:
        out["properties"] = {name: _with_meta(child) for name, child in part["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            out[key] = _with_meta(part[key])
    if part.get(EMBEDDED) and not root:
        out["properties"] = {**(out.get("properties") or {}), **_type_meta(), "metadata": {"$ref": f"{META}ObjectMeta"}}
    return out


def _as_version_2(part: Obj) -> Obj:
    """Drop what Swagger 2 has no words for, and what would make old clients refuse fields that are let through."""
    out = {key: value for key, value in part.items() if key not in _NOT_IN_2}
    if part.get("nullable") or part.get(PRESERVE) or part.get(INT_OR_STRING):
        return {key: value for key, value in out.items()
                if key not in ("properties", "items", "additionalProperties", "required",
                               *(("type",) if not part.get(PRESERVE) else ()))}
    if "properties" in part:
        out["properties"] = {name: _as_version_2(child) for name, child in part["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            out[key] = _as_version_2(part[key])
    return out
