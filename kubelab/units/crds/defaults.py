"""The defaults of a schema: each has to be what the schema would let in.

    default ─► nothing that pruning would drop ─► metadata of embedded objects ─► schema ─► CEL rules

Models:    apiextensions-apiserver/pkg/apiserver/schema/defaulting, validation
"""

from __future__ import annotations

from typing import Any

from kubelab.machinery.cel_rules import has_rules, rule_errors
from kubelab.machinery.embedded import embedded_errors
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.openapi_check import NOWHERE, check
from kubelab.machinery.request import Obj
from kubelab.machinery.structural import EMBEDDED, INT_OR_STRING, pruned_value
from kubelab.units.crds.structural import parts
from kubelab.units.rules import Errors

TYPE_META = ("apiVersion", "kind", "metadata")


def default_errors(schema: Obj, path: str, *, in_meta: bool = False, root: bool = True) -> Errors:
    """Yield what is wrong with the defaults of a schema; below additionalProperties there may be none."""
    is_object = root or bool(schema.get(EMBEDDED))
    if schema.get("default") is not None:
        yield from _one(schema, schema["default"], f"{path}.default", in_meta and not is_object, is_object)
    for where, child in parts(schema):
        if where != "additionalProperties":
            name = where.removeprefix("properties[").removesuffix("]")
            below = is_object and where != "items" and name in TYPE_META
            inside = below or (in_meta and not is_object)
            yield from default_errors(child, f"{path}.{where}", in_meta=inside, root=False)


def _one(schema: Obj, value: Any, path: str, in_meta: bool, resource: bool) -> Errors:
    if not in_meta:
        value = copy_obj(value)
        if pruned_value(schema, value) != value:
            yield invalid_value(path, value, "must not have unknown fields")
        found = embedded_errors(schema, value, path, resource=resource)
        if found:
            yield from found
            return
    bare = {word: part for word, part in schema.items() if word not in ("default", INT_OR_STRING)}
    wrong = list(check(bare, value)) or (list(rule_errors(bare, value)) if has_rules(bare) else [])
    for error in wrong:
        where = path if error.field in ("", NOWHERE) else f"{path}.{error.field}"
        yield FieldError(where, error.reason, error.message)
