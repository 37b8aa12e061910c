"""API errors: what Kubernetes calls a Status, raised as a Python exception.

Invariant: `ApiError.status` is the exact body a client receives.
Models:    k8s.io/apimachinery/pkg/api/errors
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kubelab.machinery.request import Obj


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `reason` is a cause reason such as FieldValueRequired."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: object, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}")


def not_supported(field: str, value: object, supported: Sequence[str]) -> FieldError:
    choices = ", ".join(f'"{s}"' for s in sorted(supported))
    return FieldError(field, "FieldValueNotSupported",
                      f"Unsupported value: {shown(value)}: supported values: {choices}")


def duplicate(field: str, value: object) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def shown(value: object) -> str:
    """Write a value as Go's field errors do: strings quoted, numbers bare, the rest as compact JSON."""
    import orjson

    if value is None:
        return "null"
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


class ApiError(Exception):
    """An error answer of the API: `code` is the HTTP status, `reason` and `message` as Kubernetes words them."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.metadata: dict[str, Any] = {}  # e.g. the fresh continue token of an expired list

    @property
    def status(self) -> Obj:
        out: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": self.metadata, "status": "Failure",
                    "message": self.message}
        if self.reason:
            out["reason"] = self.reason
        if self.details is not None:
            out["details"] = self.details
        return out | {"code": self.code}

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says beside its body: when to try again."""
        later = (self.details or {}).get("retryAfterSeconds")
        return {"retry-after": str(later)} if later else {}

    @classmethod
    def from_status(cls, status: Obj, code: int = 500) -> ApiError:
        """Rebuild the error a server sent as a Status body."""
        return cls(int(status.get("code") or code), status.get("reason", ""), status.get("message", ""),
                   status.get("details"))


def _details(group: str, plural: str, name: str) -> dict[str, Any]:
    return {k: v for k, v in (("name", name), ("group", group), ("kind", plural)) if v}


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    message = f'{_qualified(group, plural)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    message = f'{_qualified(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(group, plural, name))


def not_generated(group: str, plural: str, name: str) -> ApiError:
    error = already_exists(group, plural, name)
    why = f"{error.message}, the server was not able to generate a unique name for the object"
    return ApiError(409, "AlreadyExists", why, {**(error.details or {}), "retryAfterSeconds": 1})


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(group, plural, name))


CONVERTING = "error converting YAML to JSON: "  # so begins what is said of YAML
STALE = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    subject = _qualified(group, plural) + (f' "{name}"' if name else "")
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(group, plural, name))


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 Invalid with every field error as a cause, worded as kubectl prints it."""
    texts = list(dict.fromkeys(str(e) for e in errors))
    body = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": e.reason, "message": e.message, "field": e.field} for e in errors]
    full = f"{kind}.{group}" if group else kind
    details = _details(group, kind, name) | {"causes": causes}
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {body}', details)


def gone(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def rejected() -> ApiError:
    """What is said of a patch that cannot be carried out."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> ApiError:
    return ApiError(405, "MethodNotAllowed", message, {})
