"""CustomResourceDefinition: a kind that the cluster's users bring themselves.

    spec: group, names, scope, versions (schema, columns, subresources) ─► served by the API server as any kind

Invariant: what is stored here can be served; what an object of the new kind may be, its schema tells alone.
Models:    apiextensions.k8s.io/v1: defaults, validation and registry strategy of customresourcedefinitions
"""

from __future__ import annotations

from collections.abc import Callable

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.columns import CREATED_AT, NAME
from kubelab.units.crds.internal import internal
from kubelab.units.crds.parts import column_errors, deprecation_errors, selectable_errors, subresource_errors
from kubelab.units.crds.schema import schema_errors, tidy, unknown_formats, untyped
from kubelab.units.crds.status import APPROVAL, approval, is_established
from kubelab.units.rules import Errors, forbidden, immutable, invalid_struct, messages, one_of
from kubelab.units.webhookconfiguration import service_errors, url_errors

PROTECTED = (".k8s.io", ".kubernetes.io")
NO_STORED = "must have at least one stored version"
_PARTS = {"schema": "validation"}  # what stands once for all versions when it is the same in each


def default(crd: Obj) -> None:
    spec = crd["spec"] = crd.get("spec") or {}
    for version in spec.get("versions") or ():
        for field, empty in (("name", ""), ("served", False), ("storage", False)):
            version.setdefault(field, empty)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            tidy(schema)
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    conversion.setdefault("strategy", "")
    if conversion.get("webhook") == {}:
        del conversion["webhook"]
    client = (conversion.get("webhook") or {}).get("clientConfig") or {}
    if isinstance(client.get("service"), dict):
        client["service"].setdefault("port", 443)
    given = spec.get("names")
    if isinstance(given, dict) and given.get("kind"):
        spec["names"] = {**given, "singular": given.get("singular") or given["kind"].lower(),
                         "listKind": given.get("listKind") or f"{given['kind']}List"}


def default_status(crd: Obj) -> None:
    """A definition whose status forgets what is stored has what is to be stored now."""
    status = crd.get("status")
    if isinstance(status, dict) and not status.get("storedVersions"):
        status["storedVersions"] = _to_store(crd)


def _to_store(crd: Obj) -> list[str]:
    """Return the first version that is to be stored, if any."""
    return [v.get("name", "") for v in (crd.get("spec") or {}).get("versions") or () if v.get("storage")][:1]


def prepare_create(crd: Obj) -> None:
    crd["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": _to_store(crd)}


def prepare_update(new: Obj, old: Obj) -> None:
    status = new.get("status") or {}
    stored = list(status.get("storedVersions") or ())
    more = _to_store(new)
    if more and more[0] not in stored:
        new["status"] = {**status, "storedVersions": stored + more}


def validate(crd: Obj) -> list[FieldError]:
    return [*_named(crd["metadata"], crd.get("spec") or {}), *_spec(crd.get("spec") or {}), *_status(crd),
            *_approval(crd, None), *_preserving(crd, None)]


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    return [*_spec(new.get("spec") or {}), *_fixed(new.get("spec") or {}, old), *_status(new), *_approval(new, old),
            *_preserving(new, old)]


def validate_part(new: Obj, old: Obj, subresource: str) -> list[FieldError]:
    return list(_names((new.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames"))


def _named(meta: Obj, spec: Obj) -> Errors:
    wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group') or ''}"
    for field in ("generateName", "name"):
        if meta.get(field) and meta[field] != wanted:
            yield invalid_value(f"metadata.{field}", meta[field], 'must be spec.names.plural+"."+spec.group')


def _spec(spec: Obj) -> Errors:
    group, given, versions = spec.get("group") or "", spec.get("names") or {}, spec.get("versions") or []
    if not group:
        yield required("spec.group")
    elif found := names.dns1123_subdomain_errors(group):
        yield invalid_value("spec.group", group, ",".join(found))
    elif "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")
    yield from one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    for i, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield required(f"spec.versions[{i}].schema.openAPIV3Schema")
    for i, version in enumerate(versions):
        yield from _joined(f"spec.versions[{i}].name", version.get("name") or "", names.dns1035_label_errors)
        yield from _version(versions, i, f"spec.versions[{i}]")
    yield from _which_version(spec.get("versions"))
    for field in ("plural", "singular", "kind", "listKind"):
        if not given.get(field):
            yield required(f"spec.names.{field}")
    yield from _names(given, "spec.names")
    yield from _version(versions, 0, "spec")
    yield from _conversion(spec.get("conversion") or {})


def _which_version(given: list[Obj] | None) -> Errors:
    shown, versions = internal(given), given or []
    if len({v.get("name") for v in versions}) < len(versions):
        yield invalid_struct("spec.versions", shown, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield invalid_struct("spec.versions", shown, "must have exactly one version marked as storage version")
    first = versions[0].get("name") if versions else ""
    if first:
        yield from _joined("spec.version", first, names.dns1035_label_errors)


def _joined(field: str, value: str, check: Callable[[str], list[str]], lead: str = "") -> Errors:
    if found := check(value):
        yield invalid_value(field, value, lead + ",".join(found))


def _names(given: Obj, path: str) -> Errors:
    label = names.dns1035_label_errors
    for field in ("plural", "singular"):
        if given.get(field):
            yield from _joined(f"{path}.{field}", given[field], label)
    for field in ("kind", "listKind"):
        if given.get(field):
            yield from _joined(f"{path}.{field}", given[field], lambda name: label(name.lower()),
                               "may have mixed case, but should otherwise match: ")
    for i, short in enumerate(given.get("shortNames") or ()):
        yield from _joined(f"{path}.shortNames[{i}]", short, label)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield invalid_value(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same")
    for i, category in enumerate(given.get("categories") or ()):
        yield from _joined(f"{path}.categories[{i}]", category, label)


def place(versions: list[Obj], part: str) -> str:
    """Return where Kubernetes says that a part of the versions stands: at the top when it is the same in all."""
    return _PARTS.get(part, part) if all(v.get(part) == versions[0].get(part) for v in versions) else ""


def _version(versions: list[Obj], index: int, path: str) -> Errors:
    """What one version says, or at `spec` what all say alike, which is told once."""
    if not versions:
        return
    version, at_top = versions[index], path == "spec"
    if not at_top:
        yield from deprecation_errors(version, f"{path}.deprecationWarning")
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    at_hand = bool(schema) and bool(place(versions, "schema")) == at_top
    asked = versions if at_top else [version]
    has_status = any("status" in (v.get("subresources") or {}) for v in asked)
    for part, check in (
            ("schema", lambda part, where: _schema(part, where, has_status)), ("subresources", subresource_errors),
            ("additionalPrinterColumns", column_errors),
            ("selectableFields", lambda part, where: selectable_errors(part, where, schema or {}, at_hand))):
        shared = place(versions, part)
        if version.get(part) and bool(shared) == at_top:
            yield from check(version[part], f"{path}.{shared or part}")


def _schema(part: Obj, path: str, has_status: bool) -> Errors:
    schema, where = part.get("openAPIV3Schema"), f"{path}.openAPIV3Schema"
    if schema is not None:
        yield from list(untyped(schema, where)) or schema_errors(schema, where, has_status=has_status)


def _conversion(conversion: Obj) -> Errors:
    path, strategy, webhook = "spec.conversion", conversion.get("strategy"), conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions")
    where = f"{path}.webhookClientConfig"
    yield from one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        for given, field in ((client, where), (reviews or None, f"{path}.conversionReviewVersions")):
            if given is not None:
                yield forbidden(field, "should not be set when strategy is not set to Webhook")
        return
    if client is None:
        yield required(where, "required when strategy is set to Webhook")
    elif (client.get("url") is None) == (client.get("service") is None):
        yield required(where, "exactly one of url or service is required")
    elif client.get("url") is not None:
        yield from url_errors(f"{where}.url", client["url"])
    else:
        service = client["service"]
        yield from service_errors(f"{where}.service", service, told=False)
    yield from _reviews(reviews or [], f"{path}.conversionReviewVersions")


def _reviews(versions: list[str], path: str) -> Errors:
    if not versions:
        yield required(path)
        return
    for i, version in enumerate(versions):
        if version in versions[:i]:
            yield invalid_value(f"{path}[{i}]", version, "duplicate version")
        else:
            yield from messages(f"{path}[{i}]", version, names.dns1035_label_errors)
    if not {*versions} & {"v1", "v1beta1"}:
        yield invalid_value(path, versions, "must include at least one of v1, v1beta1")


def _fixed(spec: Obj, old: Obj) -> Errors:
    """What an update cannot change: where objects are kept, and once they can be written, how they are called."""
    before, given = old["spec"], spec.get("names") or {}
    if is_established(old):
        yield from immutable("spec.scope", spec.get("scope") or "", before["scope"])
        yield from immutable("spec.names.kind", given.get("kind") or "", before["names"].get("kind"))
    yield from immutable("spec.group", spec.get("group") or "", before["group"])
    yield from immutable("spec.names.plural", given.get("plural") or "", before["names"].get("plural"))


def _status(crd: Obj) -> Errors:
    status, path = crd.get("status") or {}, "status.storedVersions"
    yield from _names(status.get("acceptedNames") or {}, "status.acceptedNames")
    stored, versions = status.get("storedVersions") or [], (crd.get("spec") or {}).get("versions") or ()
    if not stored:
        yield invalid_value(path, None, NO_STORED)
        return
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            yield invalid_value(path, stored, f"must have the storage version {version.get('name')}")
    there = {version.get("name") for version in versions}
    for i, name in enumerate(stored):
        if name not in there:
            yield invalid_value(f"{path}[{i}]", name, f"missing from spec.versions; {name} was previously a storage "
                                "version, and must remain in spec.versions until a storage migration ensures no data "
                                f"remains persisted in {name} and removes {name} from status.storedVersions")


def _approval(crd: Obj, old: Obj | None) -> Errors:
    """The groups of the Kubernetes project are not for everyone."""
    if not f".{(crd.get('spec') or {}).get('group') or ''}".endswith(PROTECTED):
        return
    state, why = approval(crd)
    if old is not None and approval(old)[0] == state:
        return
    field, given = f"metadata.annotations[{APPROVAL}]", (crd["metadata"].get("annotations") or {}).get(APPROVAL)
    if state == "missing":
        yield required(field, why)
    elif state == "invalid":
        yield invalid_value(field, given, why)


def _preserving(crd: Obj, old: Obj | None) -> Errors:
    field = "preserveUnknownFields"
    if (crd.get("spec") or {}).get(field) and not (old or {}).get("spec", {}).get(field):
        yield invalid_value(f"spec.{field}", True, "cannot set to true, set x-kubernetes-preserve-unknown-fields to "
                            "true in spec.versions[*].schema instead")


def warnings(crd: Obj, old: Obj | None) -> list[str]:
    """Return what is said of formats that nothing checks, where they are new."""
    def formats(one: Obj) -> list[str]:
        schemas = [(v.get("schema") or {}).get("openAPIV3Schema") or {} for v in one["spec"].get("versions") or ()]
        same = schemas[:1] if all(schema == schemas[0] for schema in schemas) else schemas
        return [name for schema in same for name in unknown_formats(schema)]

    before = set(formats(old)) if old is not None else set()
    return [f'unrecognized format "{name}"' for name in formats(crd) if name not in before]


CUSTOM_RESOURCE_DEFINITION = Kind(
    "CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", namespaced=False,
    short_names=("crd", "crds"), categories=("api-extensions",), subresources=frozenset({"status"}), default=default,
    prepare_create=prepare_create, prepare_update=prepare_update, validate=validate,
    validate_update=validate_update, update_alone=True, default_status=default_status,
    validate_part=validate_part,
    warnings=warnings, columns=(NAME, CREATED_AT), generation=True,
)
