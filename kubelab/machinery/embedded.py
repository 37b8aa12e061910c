"""Whole objects inside of custom resources (x-kubernetes-embedded-resource): their kind and metadata are checked too.

    value ─► types of kind, apiVersion, metadata right? ─► if so: are they there, and what Kubernetes accepts

Models:    apiextensions-apiserver/pkg/apiserver/schema/objectmeta
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import EMBEDDED, child_of, metadata_errors

Errors = Iterator[FieldError]


@dataclass(frozen=True, slots=True)
class _Naming:
    """How the objects inside are named: as freely as any kind's may be."""

    namespaced: bool
    validate_name: str = "path"
    any_finalizer: bool = True


def embedded_errors(schema: Obj, value: Any, path: str = "", *, resource: bool = False) -> list[FieldError]:
    """Return what is wrong with the objects inside a value, which is one itself when it is a `resource`."""
    untyped = untyped_error(schema, value, path, resource=resource)
    return [untyped] if untyped else list(_errors(schema, value, path, resource))


def untyped_error(schema: Obj, value: Any, path: str = "", *, resource: bool = False) -> FieldError | None:
    """Return the first thing of a wrong type in the kinds and metadata of the objects inside a value."""
    return next(_untyped(schema, value, path, resource), None)


def has_embedded(schema: Obj) -> bool:
    below = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(EMBEDDED)) or any(has_embedded(child) for child in below if isinstance(child, dict))


def _untyped(schema: Obj, value: Any, path: str, resource: bool) -> Errors:
    if isinstance(value, dict) and resource:
        for name in ("apiVersion", "kind"):
            if name in value and not isinstance(value[name], str):
                yield invalid_value(_at(path, name), value[name], "must be a string")
        if "metadata" in value and (wrong := metadata_errors(value["metadata"])):
            yield invalid_value(_at(path, "metadata"), value["metadata"], wrong)
    for where, child, part in _parts(schema, value, path):
        yield from _untyped(child, part, where, bool(child.get(EMBEDDED)))


def _errors(schema: Obj, value: Any, path: str, resource: bool) -> Errors:
    if isinstance(value, dict) and resource:
        for name in ("apiVersion", "kind"):
            where = _at(path, name)
            if name not in value:
                yield required(where)
            elif not value[name]:
                yield invalid_value(where, "", "must not be empty")
            elif name == "kind" and (found := names.dns1035_label_errors(value[name].lower())):
                yield invalid_value(where, value[name], "may have mixed case, but should otherwise match: "
                                    + ",".join(found))
            elif name == "apiVersion" and value[name].count("/") > 1:
                yield invalid_value(where, value[name], f"unexpected GroupVersion string: {value[name]}")
        metadata = value.get("metadata")
        if metadata is not None:
            naming = _Naming(bool(metadata.get("namespace")))
            yield from names.validate_object_meta({"name": "none", **metadata}, naming, _at(path, "metadata"))
    for where, child, part in _parts(schema, value, path):
        yield from _errors(child, part, where, bool(child.get(EMBEDDED)))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _parts(schema: Obj, value: Any, path: str) -> Iterator[tuple[str, Obj, Any]]:
    """Yield (path, schema, value) of what the schema describes inside a value."""
    if isinstance(value, dict):
        known = schema.get("properties") or {}
        for name, part in value.items():
            child = child_of(schema, name)
            if child is not None:
                yield _at(path, name) if name in known else f"{path}[{name}]", child, part
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, part in enumerate(value):
            yield f"{path}[{i}]", schema["items"], part
