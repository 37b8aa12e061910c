"""Kubernetes' schemas, compiled on first use into trees of `Node` that decoding, patches and apply walk.

    schemas.json.gz ─► definition (a line of JSON, parsed when asked for) ─► Node ─► compiled("apps/v1", "Deployment")

Invariant: a Node is built once and never changed after; two kinds that share a type share its Node.
Models:    k8s.io/kube-openapi and the Go types behind it
Left out:  what the published schemas do not say (defaults, enums): each kind declares that in the catalogue
"""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson

from kubelab.machinery.request import Obj

_FILE = Path(__file__).with_name("schemas.json.gz")
_PREFIX = "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    _META + "Time": "time",
    _META + "MicroTime": "microtime",
    _META + "FieldsV1": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus": "struct",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
_SCALARS = {("string", "byte"): "bytes", ("string", "date-time"): "time", ("integer", "int64"): "int64",
            ("integer", "int32"): "int32", ("integer", ""): "int64", ("boolean", ""): "boolean"}
_GO_SCALARS = {"string": "string", "boolean": "bool", "int32": "int32", "int64": "int64", "number": "float64",
               "bytes": "[]uint8", "any": "interface {}", "quantity": "resource.Quantity",
               "intorstring": "intstr.IntOrString", "time": "v1.Time", "microtime": "v1.MicroTime"}
KEY_DEFAULTS, STATUS_APART = "x-kubelab-key-defaults", "x-kubelab-status-apart"  # what custom schemas tell us so
_KEY_DEFAULTS = {"protocol": "TCP"}  # an element that leaves this key out is the one with the default


class Node:
    """One type in one place: its kind, its parts, and how lists and maps of it are merged.

    `kind` is struct, map, list, any, string, boolean, int32, int64, number, bytes, time, microtime, quantity or
    intorstring. `fields` (of a struct) and `element` (of a map or list) are built when first asked for.
    """

    __slots__ = ("_raw", "atomic", "clean", "element", "fields", "go", "key_defaults", "keys", "kind", "list_type",
                 "merge_key", "open", "required", "status_apart", "strategy", "struct")

    fields: dict[str, Node]
    element: Node
    clean: Any  # set by decoding.py: value -> bool
    kind: str

    def __init__(self, raw: dict[str, Any], struct: str = "", go: str = "", kind: str = "") -> None:
        self._raw = raw
        self.struct = struct  # Go's name of the struct: PodSpec
        self.kind = kind or _kind_of(raw)
        self.go = go or _GO_SCALARS.get(self.kind, "")
        self.required = frozenset(raw.get("required", ()))
        self.open = bool(raw.get("x-kubernetes-preserve-unknown-fields"))  # fields that are not declared may be there
        self.strategy = frozenset(filter(None, raw.get("x-kubernetes-patch-strategy", "").split(",")))
        self.merge_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.key_defaults: dict[str, Any] = raw.get(KEY_DEFAULTS, _KEY_DEFAULTS)
        self.status_apart = bool(raw.get(STATUS_APART, True))  # the status is written by a subresource alone
        self.list_type = _list_type(raw, self) if self.kind == "list" else ""
        self.atomic = (raw.get("x-kubernetes-map-type") == "atomic" or self.list_type == "atomic")

    def __getattr__(self, name: str) -> Any:
        """Build `fields` or `element` at the first use; from then on the slot answers and this is not called."""
        if name == "fields" and self.kind == "struct":
            self.fields = {key: _node(child) for key, child in self._raw.get("properties", {}).items()}
            return self.fields
        if name == "element" and self.kind in ("map", "list"):
            child = self._raw.get("items") if self.kind == "list" else self._raw["additionalProperties"]
            self.element = _node(child if isinstance(child, dict) else {})
            return self.element
        raise AttributeError(name)

    @property
    def go_type(self) -> str:
        """Return the type as Go's JSON errors name it: string, []v1.Container, map[string]string, v1.PodSpec."""
        if not self.go:
            self.go = ("[]" if self.kind == "list" else "map[string]") + self.element.go_type
        return self.go

    def key_of(self, item: Any) -> tuple[Any, ...] | None:
        """Return the values of the map keys of a list element, None when it lacks one."""
        if type(item) is not dict:
            return None
        found = tuple(item.get(key, self.key_defaults.get(key)) for key in self.keys)
        return None if None in found and all(v is None for v in found) else found


def _kind_of(raw: dict[str, Any]) -> str:
    match raw.get("type"):
        case "object" if "properties" in raw:
            return "struct"
        case "object" if "additionalProperties" in raw:
            return "map"
        case "array":
            return "list"
        case "number":
            return "number"
        case "string" | "integer" | "boolean" as scalar:
            return _SCALARS.get((scalar, raw.get("format", "")), str(scalar))
        case _:
            return "struct" if "properties" in raw else "any"


def _list_type(raw: dict[str, Any], node: Node) -> str:
    """Return set, map or atomic; where the list type is not declared, the patch strategy tells it."""
    declared = raw.get("x-kubernetes-list-type")
    if declared:
        return str(declared)
    if "merge" not in node.strategy:
        return "atomic"
    if node.merge_key:
        node.keys = (node.merge_key,)
        return "map"
    return "set"


def _node(schema: dict[str, Any]) -> Node:
    """Return the node of a schema; one that only refers to a definition is the definition's own node."""
    ref = schema.get("$ref")
    if isinstance(ref, str):
        return _definition_node(ref.removeprefix(_PREFIX))
    if "allOf" in schema:
        name = schema["allOf"][0]["$ref"].removeprefix(_PREFIX)
        told = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
        base = _definition_node(name)
        return Node({**base._raw, **told}, base.struct, base.go, base.kind) if told else base
    return Node(schema)


@lru_cache(maxsize=1)
def _file() -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the definitions, still as JSON, and the definition's name of each "group/version/Kind"."""
    if not _FILE.exists():  # a checkout that was never built, as opposed to an installed package
        from kubelab.machinery.schema_build import build

        build()
    index, *lines = gzip.decompress(_FILE.read_bytes()).split(b"\n")
    told = orjson.loads(index)
    return dict(zip(told["names"], lines, strict=True)), told["kinds"]


@cache
def _definition_node(name: str) -> Node:
    raw = definition(name)
    package, _, own = name.rpartition(".")
    return Node(raw, own, f"{package.rpartition('.')[2]}.{own}", _SPECIAL.get(name, ""))


def definition(name: str) -> dict[str, Any]:
    """Return the OpenAPI schema of a definition such as io.k8s.api.core.v1.Pod. Raises: KeyError."""
    return orjson.loads(_file()[0][name])  # type: ignore[no-any-return]


def definitions() -> dict[str, dict[str, Any]]:
    """Return all definitions, parsed anew: some megabytes, for the OpenAPI documents."""
    return {name: orjson.loads(line) for name, line in _file()[0].items()}


def definition_name(api_version: str, kind: str) -> str | None:
    """Return the name of a kind's definition, None for a kind without one."""
    return _file()[1].get(f"{api_version}/{kind}")


def schema_for(api_version: str, kind: str) -> dict[str, Any] | None:
    """Return the OpenAPI schema of a kind."""
    name = definition_name(api_version, kind)
    return definition(name) if name else None


@cache
def compiled(api_version: str, kind: str) -> Node | None:
    """Return the compiled schema of a kind, None for a kind without one."""
    name = definition_name(api_version, kind)
    return _definition_node(name) if name else None


def compile_schema(schema: dict[str, Any]) -> Node:
    """Compile an OpenAPI schema that stands by itself."""
    return _node(schema)


def find(node: Node | None, path: str) -> Node | None:
    """Return the node at a path such as spec.template.spec.containers.image; lists and maps are stepped through."""
    for part in path.split(".") if path else ():
        while node is not None and node.kind == "list":
            node = node.element
        if node is None or node.kind not in ("struct", "map"):
            return None
        node = node.fields.get(part) if node.kind == "struct" else node.element
    return node


def patch_merge_key(node: Node, field: str) -> str:
    """Return the key by which a strategic patch merges a struct's list field, "" when it replaces the list."""
    child = node.fields.get(field)
    return child.merge_key if child is not None and "merge" in child.strategy else ""


def list_type(node: Node, field: str) -> str:
    """Return atomic, set or map; "" for a field that is no list."""
    child = node.fields.get(field)
    return child.list_type if child is not None else ""


def list_map_keys(node: Node, field: str) -> tuple[str, ...]:
    child = node.fields.get(field)
    return child.keys if child is not None else ()


def describe(api_version: str, kind: str, path: str = "") -> str:
    """Return the documentation of a kind, or of its field at a path such as metadata.name; "" when there is none."""
    schema: Any = schema_for(api_version, kind)
    text = str((schema or {}).get("description", ""))
    for part in path.split(".") if path else ():
        while isinstance(schema, dict) and (inner := schema.get("items")):
            schema = _resolved(inner)
        schema = (schema or {}).get("properties", {}).get(part)
        if schema is None:
            return ""
        text = str(schema.get("description", ""))
        schema = _resolved(schema)
    return text


def _resolved(schema: Obj) -> Obj:
    ref = schema.get("$ref") or (schema.get("allOf") or [{}])[0].get("$ref")
    return definition(ref.removeprefix(_PREFIX)) if ref else schema
