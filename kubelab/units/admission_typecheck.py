"""What a policy's expressions would not find in the kinds that it matches: warnings, told in its status.

    resource rules ─► kinds (ten at most) ─► each expression compiled for the schema of each ─► fieldRef, warning

Invariant: a warning keeps nothing from being stored or admitted; where a schema is not known, there is none.
Models:    k8s.io/apiserver/pkg/admission/plugin/policy/validating, typechecking.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from kubelab.machinery import schema
from kubelab.machinery.cel import CelError
from kubelab.machinery.cel_types import Shape, shape_of
from kubelab.machinery.request import Obj
from kubelab.units.admission_expressions import Expressions

MAX_TYPES = 10
META = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
Type = tuple[str, str, str]
"""(group, version, kind)."""
Find = Callable[[str, str, str], str | None]
"""(group, version, plural) -> kind."""
Shapes = Callable[[Type], Shape | None]


def warnings(policy: Obj, find: Find, shapes: Shapes) -> list[Obj]:
    """Return what is to be told of the validations of a policy."""
    spec, told = policy["spec"], []
    types = [(type_, shape) for type_ in _types(spec, find) if (shape := shapes(type_)) is not None]
    kind = spec.get("paramKind") or {}
    group, _, version = kind.get("apiVersion", "").rpartition("/")
    params = shapes((group, version, kind["kind"])) if kind else None
    for i, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            if validation.get(field):
                found = [_wrong(spec, validation[field], type_, shape, params) for type_, shape in types]
                if any(found):
                    told.append({"fieldRef": f"spec.validations[{i}].{field}",
                                 "warning": "\n".join(text for text in found if text)})
    return told


def _wrong(spec: Obj, expression: str, type_: Type, shape: Shape, params: Shape | None) -> str:
    variables: Sequence[Obj] = spec.get("variables") or ()
    expressions = Expressions(params=params, composed=True, object_=shape)
    for variable in variables:
        list(expressions.variable_errors("", variable["name"], variable["expression"]))  # wrong ones are told elsewhere
    try:
        expressions.compile(expression)
    except CelError as error:
        group, version, kind = type_
        return f"{group}/{version}, Kind={kind}: {error}\n"
    return ""


def _types(spec: Obj, find: Find) -> list[Type]:
    """Return the kinds that a policy names; what has a wildcard names none."""
    found: set[Type] = set()
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        counted = 0
        for group, version, plural in _named(rule):
            kind = find(group, version, plural)
            if kind is not None and counted < MAX_TYPES:
                found.add((group, version, kind))
                counted += 1
        if counted == MAX_TYPES:
            break
    return sorted(found)


def _named(rule: Obj) -> Iterator[tuple[str, str, str]]:
    groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
    if any("*" in name for name in (*groups, *versions)):
        return
    plurals = sorted(name for name in rule.get("resources") or () if "*" not in name and "/" not in name)
    yield from ((group, version, plural) for group in groups for version in versions for plural in plurals)


@lru_cache(maxsize=64)
def built_in(type_: Type) -> Shape | None:
    """Return the type of a kind that every cluster has, None for others."""
    group, version, kind = type_
    found = schema.schema_for(f"{group}/{version}" if group else version, kind)
    return shape_of(found, resource=True, find=_definition) if found is not None else None


def custom(found: Obj) -> Shape | None:
    """Return the type of what a CustomResourceDefinition's schema describes."""
    text = {"type": "string"}
    fields = {**(found.get("properties") or {}), "apiVersion": text, "kind": text, "metadata": META}
    return shape_of({"type": "object", **found, "properties": fields}, resource=True, find=_definition)


def _definition(ref: str) -> Obj:
    return schema.definition(ref.rpartition("/")[2])
