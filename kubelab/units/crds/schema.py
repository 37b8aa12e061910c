"""The schemas that a CustomResourceDefinition brings: keyword by keyword, part by part.

    schema ─► structural (structural.py) ─► its defaults (defaults.py) ─► its keywords, here ─► its CEL rules

Invariant: rules are compiled only where the schema at and below them is right.
Models:    apiextensions-apiserver/pkg/apis/apiextensions/validation
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from kubelab.machinery.cel_rules import Where, compile_errors, total_errors
from kubelab.machinery.decoding import check
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.formats import is_known
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compiled, find
from kubelab.machinery.structural import EMBEDDED, PRESERVE, children
from kubelab.units.crds.defaults import default_errors
from kubelab.units.crds.paths import PathError, field_at
from kubelab.units.crds.structural import RULES, branches, outside, parts, structural_errors
from kubelab.units.rules import Errors, forbidden, unsupported

TYPES = ("array", "boolean", "integer", "number", "object", "string")
LIST_TYPE, LIST_KEYS, MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
TYPE_META = ("metadata", "kind", "apiVersion")
_NOT_HERE = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_AT_ROOT = ("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum",
            "MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required",
            "Items", "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations")


def untyped(schema: Any, path: str) -> Errors:
    """Yield what is no schema where one has to stand; the types of the API leave `items` and the like open."""
    if not isinstance(schema, dict):
        yield invalid_value(path, schema, "must be a schema")
        return
    items, more = schema.get("items"), schema.get("additionalProperties")
    if more is not None and not isinstance(more, (bool, dict)):
        yield invalid_value(f"{path}.additionalProperties", more, "must be a schema or a boolean")
    for word, part in (("items", items), ("additionalProperties", more)):
        if isinstance(part, dict):
            yield from (invalid_value(f"{path}.{word}", part, why) for why in check(_props(), part, "Ignore").errors)
    for where, branch in branches(schema):
        yield from untyped(branch, f"{path}.{where}")
    for where, child in parts(schema):
        if where.startswith("properties") or not check(_props(), child, "Ignore").errors:
            yield from untyped(child, f"{path}.{where}")


def tidy(schema: Obj) -> None:
    """Bring the schemas that the types of the API leave open into the form that the others have come in."""
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            checked = check(_props(), schema[word], "Ignore")
            if not checked.errors:
                schema[word] = checked.obj
                tidy(checked.obj)
    for child in (*(branch for _, branch in branches(schema)), *(schema.get("properties") or {}).values()):
        if isinstance(child, dict):
            tidy(child)


@cache
def _props() -> Node:
    node = find(compiled("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "spec.versions.schema.openAPIV3Schema")
    assert node is not None
    return node


def unknown_formats(schema: Obj) -> Iterator[str]:
    """Yield the formats that nothing checks, as Kubernetes warns of them."""
    format_ = schema.get("format")
    if format_ and not is_known(format_, schema.get("type") or ""):
        yield format_
    for _, child in (*branches(schema), *parts(schema)):
        yield from unknown_formats(child)


def schema_errors(schema: Obj, path: str, *, has_status: bool) -> list[FieldError]:
    """Return what is wrong with the schema of a version."""
    found = [*_root(schema, path, has_status)]
    unreadable = outside(schema)
    problems = [] if unreadable else structural_errors(schema, path) or list(default_errors(schema, path))
    walk = _Walk(asks=not unreadable and not problems)
    walk.part(schema, path, _Place(), root=True)
    found += [*problems, *walk.errors, *walk.of_rules, *total_errors(path, walk.costs)]
    return found or ([invalid_value(path, "", unreadable)] if unreadable else [])


def _root(schema: Obj, path: str, has_status: bool) -> Errors:
    if has_status:
        for word in sorted(schema):
            if word != "type" and _go_name(word) not in _AT_ROOT:
                yield invalid_value(path, schema, f"only [{' '.join(_AT_ROOT)}] fields are allowed at the root of the "
                                    "schema if the status subresource is enabled")
                break
            if word == "type" and schema[word] != "object":
                yield invalid_value(f"{path}.type", schema[word], 'only "object" is allowed as the type at the root of '
                                    "the schema if the status subresource is enabled")
                break
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")


def _go_name(word: str) -> str:
    """Return what Go calls a keyword: XListType for x-kubernetes-list-type."""
    own = word.removeprefix("x-kubernetes-")
    return word[:1].upper() + word[1:] if own == word else "X" + own.title().replace("-", "")


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds for a part because of where it stands."""

    no_default: str = ""  # why no default may be here
    in_meta: bool = False
    uncorrelated: str = ""  # the outermost part whose elements cannot be found again in the old object
    repeats: int | None = 1  # how often there may be such a value; None: nobody can tell
    asks: bool = True  # CEL rules may stand here


class _Walk:
    """Goes through a schema and gathers what is wrong, the rules' own apart."""

    def __init__(self, *, asks: bool) -> None:
        self.errors: list[FieldError] = []
        self.of_rules: list[FieldError] = []
        self.costs: list[tuple[str, int]] = []
        self._asks = asks

    def part(self, schema: Obj, path: str, place: _Place, *, root: bool = False) -> None:
        before = len(self.errors)
        self.errors += _keywords(schema, path, place)
        for keyword, name, child in sorted(children(schema), key=lambda found: (found[0] == "items", *found[:2])):
            where = f"{path}.{keyword}[{name}]" if keyword == "properties" else f"{path}.{keyword}"
            if keyword != "items":
                self.part(child, where, _below(schema, path, place, keyword, name, root=root))
        for where, branch in branches(schema):
            self.part(branch, f"{path}.{where}", replace(place, asks=False))
        if isinstance(schema.get("items"), dict):
            again = place.uncorrelated or ("" if schema.get(LIST_TYPE) == "map" else path)
            self.part(schema["items"], f"{path}.items",
                      replace(place, uncorrelated=again, repeats=_times(place.repeats, schema.get("maxItems"))))
        self.errors += [*_merging(schema, path), *_rules(schema, path)]
        if schema.get(RULES) and len(self.errors) == before and self._asks and place.asks:
            at = Where(root or bool(schema.get(EMBEDDED)), place.uncorrelated, place.repeats)
            self.of_rules += compile_errors(schema, path, at, self.costs)


def _times(often: int | None, most: int | None) -> int | None:
    return None if often is None or most is None else often * max(most, 0)


def _below(schema: Obj, path: str, place: _Place, keyword: str, name: str, *, root: bool) -> _Place:
    if keyword == "additionalProperties":
        place = replace(place, repeats=_times(place.repeats, schema.get("maxProperties")))
        return replace(place, no_default="inside additionalProperties applying to object metadata") if place.in_meta \
            else place
    if (root or schema.get(EMBEDDED)) and name in TYPE_META:
        place = replace(place, in_meta=True, no_default=f"in top-level {name}" if root else place.no_default)
    return place


def _keywords(schema: Obj, path: str, place: _Place) -> Errors:
    kind = schema.get("type")
    if kind and kind not in TYPES:
        yield unsupported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and place.no_default:
        yield forbidden(f"{path}.default", f"must not be set {place.no_default}")
    for word in _NOT_HERE:
        if schema.get(word) or (word == "additionalItems" and schema.get(word) is not None):
            yield forbidden(f"{path}.{word}", f"{word} is not supported")
    if kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list) and schema["items"]:
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_meta and schema.get(EMBEDDED):
        yield forbidden(f"{path}.{EMBEDDED}", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        yield forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity "
                        "becomes quadratic")
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")


def _merging(schema: Obj, path: str) -> Errors:
    """How lists and maps are merged."""
    kind, list_type, keys = schema.get("type") or "", schema.get(LIST_TYPE), schema.get(LIST_KEYS) or []
    map_type, items = schema.get(MAP_TYPE), schema.get("items")
    if schema.get(PRESERVE) is False:
        yield invalid_value(f"{path}.{PRESERVE}", False, "must be true or undefined")
    if map_type is not None:
        yield from _of_type(f"{path}.type", kind, "object", f"must be object if {MAP_TYPE} is specified")
        if map_type not in ("atomic", "granular"):
            yield unsupported(f"{path}.{MAP_TYPE}", map_type, ("atomic", "granular"))
    if list_type is not None:
        yield from _of_type(f"{path}.type", kind, "array", f"must be array if {LIST_TYPE} is specified")
    if list_type == "set" and kind == "array" and isinstance(items, dict):
        for one, word in (("array", LIST_TYPE), ("object", MAP_TYPE)):
            if items.get("type") == one and items.get(word) != "atomic" and (one == "object" or items.get(word)):
                yield invalid_value(f"{path}.items.{word}", items.get(LIST_TYPE),
                                    f"must be atomic as item of a list with {LIST_TYPE}=set")
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        yield unsupported(f"{path}.{LIST_TYPE}", list_type, ("atomic", "set", "map"))
    if keys and list_type != "map":
        text = f"must be map if {LIST_KEYS} is non-empty"
        yield required(f"{path}.{LIST_TYPE}", text) if list_type is None else \
            invalid_value(f"{path}.{LIST_TYPE}", list_type, text)
    if list_type == "map":
        yield from _map_list(schema, path, keys)
    if list_type in ("set", "map") and isinstance(items, dict):
        yield from _never_null(items, path, list_type, keys)


def _of_type(path: str, kind: str, wanted: str, text: str) -> Errors:
    if kind != wanted:
        yield invalid_value(path, kind, text) if kind else required(path, text)


def _map_list(schema: Obj, path: str, keys: list[str]) -> Errors:
    items = schema.get("items")
    if not keys:
        yield required(f"{path}.{LIST_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    if not isinstance(items, dict):
        yield required(f"{path}.items", f"must have a schema if {LIST_TYPE} is map")
        return
    if items.get("type") != "object":
        yield invalid_value(f"{path}.items.type", items.get("type") or "",
                            f"must be object if parent array's {LIST_TYPE} is map")
        return
    known = items.get("properties") or {}
    for i, key in enumerate(keys):
        if key not in known:
            yield invalid_value(f"{path}.{LIST_KEYS}", keys, "entries must all be names of item properties")
        elif known[key].get("type") in ("array", "object"):
            yield invalid_value(f"{path}.items.properties[{key}].type", "object",
                                f"must be a scalar type if parent array's {LIST_TYPE} is map")
        if key in keys[:i]:
            yield invalid_value(f"{path}.{LIST_KEYS}", keys, "must not contain duplicate entries")


def _never_null(items: Obj, path: str, list_type: str, keys: list[str]) -> Errors:
    if items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when {LIST_TYPE} is {list_type}")
    known = items.get("properties") or {}
    for key in keys if list_type == "map" else ():
        where, told = f"{path}.items.properties[{key}]", f"this property is in {LIST_KEYS}, so it "
        if key in known and key not in (items.get("required") or ()) and known[key].get("default") is None:
            yield required(f"{where}.default", f"{told}must have a default or be a required property")
        if key in known and known[key].get("nullable"):
            yield forbidden(f"{where}.nullable", f"{told}cannot be nullable")


def _rules(schema: Obj, path: str) -> Errors:
    """What can be said of CEL rules without compiling them."""
    for i, rule in enumerate(schema.get(RULES) or ()):
        where, text, message = f"{path}.{RULES}[{i}]", str(rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            yield required(f"{where}.rule", "rule is not specified")
        elif message and not message.strip():
            yield invalid_value(f"{where}.message", message, "must be non-empty if specified")
        elif _breaks(message.strip()):
            yield invalid_value(f"{where}.message", message, "must not contain line breaks")
        elif _breaks(text) and not message:
            yield required(f"{where}.message", "message must be specified if rule contains line breaks")
        if rule.get("messageExpression") and not rule["messageExpression"].strip():
            yield required(f"{where}.messageExpression", "messageExpression must be non-empty if specified")
        if rule.get("reason") is not None and rule["reason"] not in REASONS:
            yield unsupported(f"{where}.reason", rule["reason"], REASONS)
        target = rule.get("fieldPath") or ""
        if target and not target.strip():
            yield invalid_value(f"{where}.fieldPath", target, "must be non-empty if specified")
        if _breaks(target):
            yield invalid_value(f"{where}.fieldPath", target, "must not contain line breaks")
        if target:
            try:
                field_at(schema, target)
            except PathError:
                yield invalid_value(f"{where}.fieldPath", target, "must be a valid path")


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text
