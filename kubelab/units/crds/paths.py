"""Paths of fields that a CustomResourceDefinition names: .spec.size, .metadata['my.key'], checked against the schema.

Models:    apiextensions-apiserver/pkg/apiserver/schema/cel, ValidFieldPath
"""

from __future__ import annotations

import re

from kubelab.machinery.request import Obj

_TOKEN = re.compile(r"'(?:\\.|[^'\\])*'|[.\[\]]|[^.\[\]]+")


class PathError(ValueError):
    """A path that leads to no field; the text is Kubernetes'."""


def field_at(schema: Obj, path: str, *, brackets: bool = True) -> tuple[list[str], Obj]:
    """Return the steps of a path and the schema it leads to. Raises `PathError`."""
    rest, steps = iter(_TOKEN.findall(path)), list[str]()
    for sign in rest:
        if sign == "." or (sign == "[" and brackets):
            name = next(rest, None)
            if name is None:
                raise PathError("unexpected end of JSON path")
            if sign == "[" and not (len(name) > 1 and name[0] == name[-1] == "'"):
                raise PathError(f"expected single quoted string but got {name}")
            schema = _step(schema, re.sub(r"\\(.)", r"\1", name[1:-1]) if sign == "[" else name, steps)
            if sign == "[" and (end := next(rest, None)) != "]":
                raise PathError("unexpected end of JSON path" if end is None else f"expected ] but got {end}")
        else:
            raise PathError("array notation is not allowed" if sign == "[" else f"expected [ or . but got: {sign}")
    return steps, schema


def _step(schema: Obj, name: str, steps: list[str]) -> Obj:
    known, more = schema.get("properties"), schema.get("additionalProperties")
    found = known.get(name) if known else more
    if not isinstance(found, dict):
        raise PathError("does not refer to a valid field")
    steps.append(name)
    return found
