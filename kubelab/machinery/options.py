"""The options of a write, as its query gives them: who manages the fields, whether it is dry, what unknown fields do.

    ?fieldManager=me&dryRun=All&fieldValidation=Strict ─► errors_of ─► causes, in the order of the server's own rules

Invariant: a parameter that is there but empty counts as given, as it does in a Go url.Values.
Models:    k8s.io/apimachinery/pkg/apis/meta/v1/validation, Create-, Update-, Patch- and DeleteOptions
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kubelab.machinery.errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)

KIND_OF_VERB = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
FIELD_VALIDATION = ("", "Ignore", "Strict", "Warn")
POLICIES = ("Foreground", "Background", "Orphan")
MAX_MANAGER = 128  # bytes


def errors_of(verb: str, query: Mapping[str, str], *, applies: bool = False) -> list[FieldError]:
    """Return what is wrong with the options of a create, an update or a patch; `applies` is a server-side apply."""
    if not query and not applies:
        return []
    errors: list[FieldError] = []
    manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "")
    if applies and not manager:
        errors.append(required("fieldManager", "is required for apply patch"))
    if verb == "patch" and not applies and "force" in query:
        errors.append(forbidden_field("force", "may not be specified for non-apply patch"))
    errors += manager_errors(manager, "fieldManager")
    errors += _dry_run_errors([query["dryRun"]] if "dryRun" in query else [])
    if validation not in FIELD_VALIDATION:
        errors.append(not_supported("fieldValidation", validation, FIELD_VALIDATION))
    return errors


def manager_errors(manager: str, path: str) -> list[FieldError]:
    """Say why a text cannot name a field manager: it is too long, or not to be printed."""
    errors = [too_long(path, MAX_MANAGER)] if len(manager.encode()) > MAX_MANAGER else []
    at = 0
    for char in manager:
        if not char.isprintable():
            errors.append(invalid_value(path, manager, f"invalid character U+{ord(char):04X} (at position {at})"))
        at += len(char.encode())
    return errors


def delete_errors(options: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with a DeleteOptions."""
    errors: list[FieldError] = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        errors.append(invalid_value("propagationPolicy", policy,
                                    "orphanDependents and deletionPropagation cannot be both set"))
    if policy is not None and policy not in POLICIES:
        choices = ", ".join(f'"{choice}"' for choice in (*POLICIES, "nil"))
        errors.append(FieldError("propagationPolicy", "FieldValueNotSupported",
                                 f'Unsupported value: "{policy}": supported values: {choices}'))
    return errors + _dry_run_errors(options.get("dryRun") or [])


def _dry_run_errors(given: list[str]) -> list[FieldError]:
    return [] if all(value == "All" for value in given) else [not_supported("dryRun", given, ["All"])]


@lru_cache(256)
def manager_of(user_agent: str) -> str:
    """Return the field manager of a client that named none: its user agent up to the first slash, what can be read."""
    name = "".join(char for char in user_agent.partition("/")[0] if char.isprintable())
    return name.encode()[:MAX_MANAGER].decode(errors="ignore") or "unknown"
