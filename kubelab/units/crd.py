"""CustomResourceDefinition: a kind that the cluster's users bring themselves.

    spec: group, names, scope, versions (schema, columns, subresources) ─► served by the API server as any kind

Invariant: what is stored here can be served; what an object of the new kind may be, its schema tells alone.
Models:    apiextensions.k8s.io/v1: defaults, validation and registry strategy of customresourcedefinitions
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubelab.machinery import jsonpath, names
from kubelab.machinery.cel_rules import uncompiled
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.columns import CREATED_AT, NAME
from kubelab.units.crd_schema import structural, tidy, untyped
from kubelab.units.crd_status import is_established
from kubelab.units.rules import Errors, forbidden, immutable, messages, subdomain_name, too_many, unique, unsupported

APPROVAL = "api-approved.kubernetes.io"
PROTECTED = (".k8s.io", ".kubernetes.io")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
NO_STORED = "must have at least one stored version"
SELECTABLE_TYPES = ("string", "boolean", "integer")
SELECTABLE_LIMIT = 8
_PARTS = {"schema": "validation"}  # what stands once for all versions when it is the same in each


def default(crd: Obj) -> None:
    spec = crd.get("spec") or {}
    for version in spec.get("versions") or ():
        for field, empty in (("name", ""), ("served", False), ("storage", False)):
            version.setdefault(field, empty)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            tidy(schema)
    spec.setdefault("conversion", {"strategy": "None"})
    spec["conversion"].setdefault("strategy", "None")
    client = (spec["conversion"].get("webhook") or {}).get("clientConfig") or {}
    if isinstance(client.get("service"), dict):
        client["service"].setdefault("port", 443)
    given = spec.get("names")
    if isinstance(given, dict) and given.get("kind"):
        spec["names"] = {**given, "singular": given.get("singular") or given["kind"].lower(),
                         "listKind": given.get("listKind") or f"{given['kind']}List"}


def prepare_create(crd: Obj) -> None:
    stored = [v.get("name", "") for v in (crd.get("spec") or {}).get("versions") or () if v.get("storage")]
    crd["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def prepare_update(new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    stored = list(status.get("storedVersions") or ())
    more = [v["name"] for v in new["spec"].get("versions") or () if v.get("storage") and v["name"] not in stored]
    if more:
        new["status"] = {**status, "storedVersions": stored + more}


def validate(crd: Obj) -> list[FieldError]:
    return list(_errors(crd)) or list(_rule_errors((crd.get("spec") or {}).get("versions") or []))


def _rule_errors(versions: list[Obj]) -> Errors:
    """What keeps the CEL rules of the schemas from being asked; what all versions share is told once."""
    schemas = {place(versions, i, "schema"): version["schema"]["openAPIV3Schema"] for i, version in enumerate(versions)}
    for path, schema in schemas.items():
        yield from uncompiled(schema, f"{path}.openAPIV3Schema")


def _errors(crd: Obj) -> Errors:
    spec, meta = crd.get("spec") or {}, crd["metadata"]
    group, given = spec.get("group") or "", spec.get("names") or {}
    if meta.get("name") != f"{given.get('plural', '')}.{group}":
        yield invalid_value("metadata.name", meta.get("name", ""), 'must be spec.names.plural+"."+spec.group')
    if group.endswith(PROTECTED) and not (meta.get("annotations") or {}).get(APPROVAL):
        yield required(f"metadata.annotations[{APPROVAL}]", "protected groups must have approval annotation "
                       f'"{APPROVAL}", see https://github.com/kubernetes/enhancements/pull/1111')
    if not group:
        yield required("spec.group")
    else:
        yield from subdomain_name("spec.group", group)
        if "." not in group:
            yield invalid_value("spec.group", group, "should be a domain with at least one dot")
    if not spec.get("scope"):
        yield required("spec.scope")
    elif spec["scope"] not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        yield invalid_value("spec.preserveUnknownFields", True, "cannot set to true, set x-kubernetes-preserve-unknown-"
                            "fields to true in spec.versions[*].schema instead")
    yield from _names(given, "spec.names")
    yield from _versions(spec)
    yield from _conversion(spec.get("conversion") or {})
    if not (crd.get("status") or {}).get("storedVersions"):
        yield invalid_value("status.storedVersions", None, NO_STORED)


def _names(given: Obj, path: str) -> Errors:
    for field in ("plural", "singular", "kind", "listKind"):
        value = given.get(field) or ""
        if not value:
            if field in ("plural", "kind"):
                yield required(f"{path}.{field}")
            continue
        check: Callable[[str], list[str]] = names.dns1035_label_errors
        found = check(value.lower())
        if found and field in ("kind", "listKind"):
            found = [f"may have mixed case, but should otherwise match: {text}" for text in found]
        elif not found and field in ("plural", "singular"):
            found = check(value)
        yield from (invalid_value(f"{path}.{field}", value, text) for text in found)
    for i, short in enumerate(given.get("shortNames") or ()):
        yield from messages(f"{path}.shortNames[{i}]", short, names.dns1035_label_errors)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield invalid_value(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same")
    for i, category in enumerate(given.get("categories") or ()):
        yield from messages(f"{path}.categories[{i}]", category, names.dns1035_label_errors)


def _versions(spec: Obj) -> Errors:
    versions: list[Obj] = spec.get("versions") or []
    for i, version in enumerate(versions):
        yield from messages(f"spec.versions[{i}].name", version.get("name") or "", names.dns1035_label_errors)
    if len({v.get("name") for v in versions}) < len(versions):
        yield invalid_value("spec.versions", versions, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for i, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            yield required(f"spec.versions[{i}].schema.openAPIV3Schema")
        for part, check in _CHECKS:
            path = place(versions, i, part)
            if version.get(part) and path not in seen:  # what all versions share is told once
                seen.add(path)
                yield from check(version[part], path)
        yield from _selected(version, place(versions, i, "selectableFields"))


def place(versions: list[Obj], index: int, part: str) -> str:
    """Return where Kubernetes says that a part of a version stands: at the top when all versions have the same."""
    same = all(v.get(part) == versions[0].get(part) for v in versions)
    return f"spec.{_PARTS.get(part, part)}" if same else f"spec.versions[{index}].{part}"


def _schema(part: Obj, path: str) -> Errors:
    if part.get("openAPIV3Schema") is not None:
        where = f"{path}.openAPIV3Schema"
        yield from list(untyped(part["openAPIV3Schema"], where)) or structural(part["openAPIV3Schema"], where)


def _subresources(part: Obj, path: str) -> Errors:
    scale = part.get("scale")
    if scale is None:
        return
    for field, below, needed in (("specReplicasPath", ".spec", True), ("statusReplicasPath", ".status", True),
                                 ("labelSelectorPath", ".status", False)):
        value = scale.get(field) or ""
        where = f"{path}.scale.{field}"
        wide = field == "labelSelectorPath"
        if not value and needed:
            yield required(where)
        elif value and not (value.startswith(f"{below}.") or (wide and value.startswith(".spec."))):
            told = "either .status or .spec" if wide else below
            yield invalid_value(where, value, f"should be a json path under {told}")
        elif value and jsonpath.names(value) is None:
            yield invalid_value(where, value, "should be a simple json path")


def _printer_columns(columns: list[Obj], path: str) -> Errors:
    for i, column in enumerate(columns):
        where = f"{path}[{i}]"
        if not column.get("name"):
            yield required(f"{where}.name")
        if not column.get("type"):
            yield required(f"{where}.type", f"must be one of {','.join(COLUMN_TYPES)}")
        elif column["type"] not in COLUMN_TYPES:
            yield invalid_value(f"{where}.type", column["type"], f"must be one of {','.join(COLUMN_TYPES)}")
        if not column.get("jsonPath"):
            yield required(f"{where}.jsonPath")
        else:
            yield from _path(f"{where}.jsonPath", column["jsonPath"])


def _path(where: str, path: str) -> Errors:
    try:
        jsonpath.compiled(path)
    except jsonpath.PathError as error:
        yield invalid_value(where, path, str(error))


def _selectable(fields: list[Obj], path: str) -> Errors:
    if len(fields) > SELECTABLE_LIMIT:
        yield too_many(path, len(fields), SELECTABLE_LIMIT)
    for i, field in enumerate(fields):
        value = field.get("jsonPath") or ""
        if not value:
            yield required(f"{path}[{i}].jsonPath")
        elif jsonpath.names(value) is None:
            yield invalid_value(f"{path}[{i}].jsonPath", value, "is an invalid path: must be a simple path of fields")
    yield from unique((f"{path}[{i}].jsonPath", field.get("jsonPath")) for i, field in enumerate(fields))


def _selected(version: Obj, path: str) -> Errors:
    """A field to select by stands in the schema and holds a single plain value."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    for i, field in enumerate(version.get("selectableFields") or ()):
        value, found = field.get("jsonPath") or "", schema
        steps = jsonpath.names(value) or []
        for name in steps:
            below = found.get("properties") if isinstance(found, dict) else None
            found = below.get(name) if isinstance(below, dict) else None
        if steps[:1] == ["metadata"]:
            yield invalid_value(f"{path}[{i}].jsonPath", value, "must not point to fields in metadata")
        elif steps and not isinstance(found, dict):
            yield invalid_value(f"{path}[{i}].jsonPath", value, "is an invalid path: does not refer to a valid field")
        elif steps and found.get("type") not in SELECTABLE_TYPES:
            yield invalid_value(f"{path}[{i}].jsonPath", value, "must point to a field of type string, boolean or "
                                "integer. Enum string fields and strings with formats are allowed.")


_CHECKS: tuple[tuple[str, Callable[[Any, str], Errors]], ...] = (
    ("schema", _schema), ("subresources", _subresources), ("additionalPrinterColumns", _printer_columns),
    ("selectableFields", _selectable))


def _conversion(conversion: Obj) -> Errors:
    path, strategy, webhook = "spec.conversion", conversion.get("strategy"), conversion.get("webhook")
    if strategy not in ("None", "Webhook"):
        yield unsupported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        if webhook:
            yield forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")
        return
    client = (webhook or {}).get("clientConfig")
    if not client:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    elif bool(client.get("url")) == bool(client.get("service")):
        yield required(f"{path}.webhookClientConfig", "exactly one of url or service is required")
    elif client.get("url") and not client["url"].startswith("https://"):
        yield invalid_value(f"{path}.webhookClientConfig.url", client["url"], "'https' is the only allowed URL scheme")
    reviews = (webhook or {}).get("conversionReviewVersions")
    if not reviews:
        yield required(f"{path}.conversionReviewVersions")
    elif "v1" not in reviews and "v1beta1" not in reviews:
        yield invalid_value(f"{path}.conversionReviewVersions", reviews, "must include at least one of v1, v1beta1")


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return list(_update_errors(new, old))


def _update_errors(new: Obj, old: Obj) -> Errors:
    spec, before = new["spec"], old["spec"]
    if is_established(old):
        for field in ("group", "scope"):
            yield from immutable(f"spec.{field}", spec.get(field), before.get(field))
        for field in ("plural", "kind"):
            now = (spec.get("names") or {}).get(field)
            yield from immutable(f"spec.names.{field}", now, before["names"].get(field))
    there = {version["name"] for version in spec.get("versions") or ()}
    for i, name in enumerate((new.get("status") or {}).get("storedVersions") or ()):
        if name not in there:
            yield invalid_value(f"status.storedVersions[{i}]", name, f"missing from spec.versions; {name} was "
                                "previously a storage version, and must remain in spec.versions until a storage "
                                f"migration ensures no data remains persisted in {name} and removes {name} from "
                                "status.storedVersions")


CUSTOM_RESOURCE_DEFINITION = Kind(
    "CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", namespaced=False,
    short_names=("crd", "crds"), categories=("api-extensions",), subresources=frozenset({"status"}), default=default,
    prepare_create=prepare_create, prepare_update=prepare_update, validate=validate, validate_update=validate_update,
    columns=(NAME, CREATED_AT), generation=True,
)
