"""The rules for names, labels and annotations, each with the message that Kubernetes gives.

Models: k8s.io/apimachinery/pkg/util/validation and pkg/api/validation
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import orjson

from kubelab.machinery.errors import FieldError, forbidden_field, invalid_value, required, too_long
from kubelab.machinery.request import Obj

_LABEL1123 = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL1123}(\.{_LABEL1123})*"
_LABEL1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_label1123 = re.compile(_LABEL1123)
_subdomain = re.compile(_SUBDOMAIN)
_label1035 = re.compile(_LABEL1035)
_qualified = re.compile(_QUALIFIED)

STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
BANNED_OWNER = ("", "v1", "Event")
OWNER_FIELDS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
MAX_ANNOTATIONS_BYTES = 256 * 1024


def regex_message(text: str, pattern: str, *examples: str) -> str:
    """Word a failed pattern as Go's RegexError does."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    return f"{text} (e.g. " + " or ".join(f"'{e}', " for e in examples) + f"regex used for validation is '{pattern}')"


_SAYS_LABEL1123 = regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character", _LABEL1123, "my-name", "123-abc")
_SAYS_SUBDOMAIN = regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character", _SUBDOMAIN, "example.com")
_SAYS_LABEL1035 = regex_message(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character", _LABEL1035, "my-name", "abc-123")
_SAYS_QUALIFIED = regex_message(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED, "MyName", "my.name", "123-abc")
_SAYS_LABEL_VALUE = regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character", f"({_QUALIFIED})?", "MyValue", "my_value", "12345")


def _longer(value: str, limit: int, unit: str = "characters") -> list[str]:
    return [f"must be no more than {limit} {unit}"] if len(value.encode()) > limit else []


def dns1123_label_errors(value: str) -> list[str]:
    errors = _longer(value, 63)
    if not _label1123.fullmatch(value):
        errors.append("must not contain dots" if _subdomain.fullmatch(value) else _SAYS_LABEL1123)
    return errors


def dns1123_subdomain_errors(value: str, unit: str = "characters") -> list[str]:
    errors = _longer(value, 253, unit)
    return errors if _subdomain.fullmatch(value) else [*errors, _SAYS_SUBDOMAIN]


def dns1035_label_errors(value: str) -> list[str]:
    errors = _longer(value, 63)
    return errors if _label1035.fullmatch(value) else [*errors, _SAYS_LABEL1035]


def path_segment_errors(value: str) -> list[str]:
    """Return what is wrong with a name that may hold anything a URL path segment may (RBAC names)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in value]


def qualified_name_errors(value: str) -> list[str]:
    """Return what is wrong with a label key or the like: an optional DNS subdomain, a slash, a name."""
    return list(_qualified_name_errors(value))


@lru_cache(maxsize=4096)
def _qualified_name_errors(value: str) -> Sequence[str]:
    """Look once at a key: a cluster has few of them, on every object."""
    errors: list[str] = []
    *prefix, name = value.split("/")
    if len(prefix) > 1:
        example = regex_message("a valid label key " + _SAYS_QUALIFIED.split(" (e.g.")[0], _QUALIFIED,
                                "MyName", "my.name", "123-abc")
        return [example + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if prefix and not prefix[0]:
        errors.append("prefix part must be non-empty")
    elif prefix:
        errors += [f"prefix part {e}" for e in dns1123_subdomain_errors(prefix[0], "bytes")]
    if not name:
        errors.append("name part must be non-empty")
    else:
        errors += [f"name part {e}" for e in _longer(name, 63, "bytes")]
    if not _qualified.fullmatch(name):
        errors.append(f"name part {_SAYS_QUALIFIED}")
    return errors


def label_value_errors(value: str) -> list[str]:
    errors = _longer(value, 63, "bytes")
    return errors if not value or _qualified.fullmatch(value) else [*errors, _SAYS_LABEL_VALUE]


NAME_RULES: Mapping[str, Callable[[str], list[str]]] = {
    "subdomain": dns1123_subdomain_errors,
    "label": dns1123_label_errors,
    "label1035": dns1035_label_errors,
    "path": path_segment_errors,
}


class Naming(Protocol):
    """What of a kind decides how its objects are named (the catalogue's `Kind` is one)."""

    @property
    def namespaced(self) -> bool: ...
    @property
    def validate_name(self) -> str: ...
    @property
    def any_finalizer(self) -> bool: ...


def validate_object_meta(meta: Obj, kind: Naming, path: str = "metadata") -> list[FieldError]:
    """Return everything wrong with an object's metadata, in the order and words of Kubernetes."""
    errors: list[FieldError] = []
    rule = NAME_RULES[kind.validate_name]
    if prefix := meta.get("generateName"):
        masked = prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix  # two signs, as upstream
        errors += [invalid_value(f"{path}.generateName", prefix, e) for e in rule(masked)]
    if name := meta.get("name"):
        errors += [invalid_value(f"{path}.name", name, e) for e in rule(name)]
    else:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    namespace = meta.get("namespace") or ""
    if kind.namespaced and not namespace:
        errors.append(required(f"{path}.namespace"))
    elif kind.namespaced:
        errors += [invalid_value(f"{path}.namespace", namespace, e) for e in dns1123_label_errors(namespace)]
    elif namespace:
        errors.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    errors += validate_labels(meta.get("labels"), f"{path}.labels")
    errors += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    errors += _validate_owners(meta.get("ownerReferences") or (), f"{path}.ownerReferences")
    errors += _validate_finalizers(meta.get("finalizers") or (), f"{path}.finalizers")
    if not kind.any_finalizer:
        errors += [invalid_value(f"{path}.finalizers[{i}]", name, "name is neither a standard finalizer name nor is it "
                                 "fully qualified") for i, name in enumerate(meta.get("finalizers") or ())
                   if "/" not in name and name not in STANDARD_FINALIZERS]
    return errors


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in (labels or {}).items():
        errors += [invalid_value(path, key, e) for e in qualified_name_errors(key)]
        errors += [invalid_value(path, value, e) for e in label_value_errors(value)]
    return errors


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    if not annotations:
        return []
    errors = [invalid_value(path, key, e) for key in annotations for e in qualified_name_errors(key.lower())]
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long(path, MAX_ANNOTATIONS_BYTES))
    return errors


def _validate_owners(owners: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    for owner in owners:
        group, _, version = (owner.get("apiVersion") or "").rpartition("/")
        if not version or "/" in group:
            errors.append(invalid_value(f"{path}.apiVersion", owner.get("apiVersion") or "",
                                        "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                errors.append(invalid_value(f"{path}.{key}", "", "must not be empty"))
        if (group, version, owner.get("kind")) == BANNED_OWNER:
            errors.append(FieldError(path, "FieldValueInvalid", f"Invalid value: {_owners_shown([owner])[1:-1]}: "
                                     "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            name = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                errors.append(FieldError(path, "FieldValueInvalid", f"Invalid value: {_owners_shown(owners)}: Only one "
                              "reference can have Controller set to true. Found "
                              f'"true" in references for {controller} and {name}'))
            controller = controller or name
    return errors


def _owners_shown(owners: Any) -> str:
    """Write references with their fields in the order in which Go has them."""
    return orjson.dumps([{key: owner.get(key) for key in OWNER_FIELDS if key in owner or key in OWNER_FIELDS[:4]}
                         for owner in owners]).decode()


def _validate_finalizers(finalizers: Any, path: str) -> list[FieldError]:
    errors = [invalid_value(path, name, e) for name in finalizers for e in qualified_name_errors(name)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        errors.append(invalid_value(path, list(finalizers), "finalizer orphan and foregroundDeletion cannot be both "
                                                            "set"))
    return errors
