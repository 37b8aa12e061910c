"""What a version says beside its schema: subresources, printer columns, fields to select by, its end.

Models:    apiextensions-apiserver/pkg/apis/apiextensions/validation: subresources, columns, selectable fields
"""

from __future__ import annotations

from typing import Any

from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units.crds.paths import PathError, field_at
from kubelab.units.rules import Errors, too_many

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
SELECTABLE_TYPES = ("string", "boolean", "integer")
SELECTABLE_LIMIT = 8
WARNING_LIMIT = 256
_SCALE = (("specReplicasPath", (".spec",), True), ("statusReplicasPath", (".status",), True),
          ("labelSelectorPath", (".spec", ".status"), False))


def deprecation_errors(version: Obj, path: str) -> Errors:
    """What clients of a deprecated version are told has to fit into a header."""
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield invalid_value(path, text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > WARNING_LIMIT:
        yield invalid_value(path, text, f"must be <= {WARNING_LIMIT} characters long")
    if not text:
        yield invalid_value(path, text, "must not be an empty string")
    bad = next((i for i, letter in enumerate(text) if not letter.isprintable()), None)
    if bad is not None:
        yield invalid_value(path, text, "must only contain printable UTF-8 characters; non-printable character found "
                            f"at index {len(text[:bad].encode())}")


def subresource_errors(subresources: Obj, path: str) -> Errors:
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, below, needed in _SCALE:
        value, where = scale.get(field) or "", f"{path}.scale.{field}"
        if not value:
            if needed:
                yield required(where)
        elif value[0] != ".":
            yield _not_simple(where, value)
        elif not value.startswith(tuple(f"{start}." for start in below)):
            told = f"either {' or '.join(below)}" if len(below) > 1 else below[0]
            yield invalid_value(where, value, f"should be a json path under {told}")


def _not_simple(where: str, path: str) -> Any:
    return invalid_value(where, path, "must be a simple json path starting with .")


def column_errors(columns: list[Obj], path: str) -> Errors:
    types = f"must be one of {','.join(COLUMN_TYPES)}"
    for i, column in enumerate(columns):
        where, format_, target = f"{path}[{i}]", column.get("format"), column.get("jsonPath")
        if not column.get("name"):
            yield required(f"{where}.name")
        if not column.get("type"):
            yield required(f"{where}.type", types)
        elif column["type"] not in COLUMN_TYPES:
            yield invalid_value(f"{where}.type", column["type"], types)
        if format_ and format_ not in COLUMN_FORMATS:
            yield invalid_value(f"{where}.format", format_, f"must be one of {','.join(COLUMN_FORMATS)}")
        if not target:
            yield required(f"{where}.JSONPath")
        elif target[0] != ".":
            yield _not_simple(f"{where}.JSONPath", target)


def selectable_errors(fields: list[Obj], path: str, schema: Obj, at_hand: bool) -> Errors:
    """A field to select by stands in the schema, told in the same place, and holds a single plain value."""
    if not at_hand:
        yield invalid_value(path, "", "may only be set when validations.schema is included" if path.count(".") == 1 else
                            "may only be set when `version.schema.openAPIV3Schema` is not included")
        return
    seen: set[tuple[str, ...]] = set()
    for i, field in enumerate(fields):
        value, where = field.get("jsonPath") or "", f"{path}[{i}].jsonPath"
        if not value:
            yield required(where)
            continue
        try:
            steps, found = field_at(schema, value, brackets=False)
        except PathError as error:
            yield invalid_value(where, value, f"is an invalid path: {error}")
            continue
        if steps[0] == "metadata":
            yield invalid_value(where, value, "must not point to fields in metadata")
        if found.get("type") not in SELECTABLE_TYPES:
            yield invalid_value(where, value, "must point to a field of type string, boolean or integer. Enum string "
                                "fields and strings with formats are allowed.")
        if tuple(steps) in seen:
            yield duplicate(where, value)
        seen.add(tuple(steps))
    if len(seen) > SELECTABLE_LIMIT:
        yield too_many(path, len(seen), SELECTABLE_LIMIT)
