"""CEL in configurations of admission: refused when it is written, if it does not compile or is of the wrong type.

    spec ─► Expressions(params?, variables so far) ─► each expression in turn: its names, the type it comes to

Invariant: an expression sees the variables that stand before it, and parameters only where the policy takes some.
Models:    k8s.io/apiserver/pkg/admission/plugin/cel, compile.go and composition.go
Left out:  the types of what mutations make; the outcome is checked instead
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from kubelab.machinery.cel import CelError, Program
from kubelab.machinery.cel_literals import as_maps
from kubelab.machinery.cel_types import DYN, Shape, Typed, shape_of
from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj

CONDITION_VARIABLES = ("object", "oldObject", "request", "authorizer", "namespaceObject")
VARIABLES = ("object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables")
BOOL, TEXT, TEXT_OR_NULL = ("bool",), ("string",), ("string", "null_type")
MAP_OF_ANY, LIST_OF_ANY = Shape("map", 0, 2, {}, DYN), Shape("list", 0, 2, {}, DYN)
_TEXT: Obj = {"type": "string"}
_TEXTS: Obj = {"type": "array", "items": _TEXT}
_LABELS: Obj = {"type": "object", "additionalProperties": _TEXT}
_TIME: Obj = {"type": "string", "format": "date-time"}
_ANY: Obj = {"x-kubernetes-int-or-string": True}


def _of(**fields: Obj) -> Obj:
    return {"type": "object", "properties": fields}


_KIND, _RESOURCE = (_of(group=_TEXT, version=_TEXT, **{last: _TEXT}) for last in ("kind", "resource"))
REQUEST = _of(
    kind=_KIND, resource=_RESOURCE, subResource=_TEXT, requestKind=_KIND, requestResource=_RESOURCE,
    requestSubResource=_TEXT, name=_TEXT, namespace=_TEXT, operation=_TEXT, dryRun={"type": "boolean"}, options=_ANY,
    userInfo=_of(username=_TEXT, uid=_TEXT, groups=_TEXTS, extra={"type": "object", "additionalProperties": _TEXTS}))
NAMESPACE = _of(
    metadata=_of(name=_TEXT, generateName=_TEXT, namespace=_TEXT, labels=_LABELS, annotations=_LABELS, UID=_TEXT,
                 creationTimestamp=_TIME, deletionGracePeriodSeconds={"type": "integer"}, deletionTimestamp=_TIME,
                 generation={"type": "integer"}, resourceVersion=_TEXT, finalizers=_TEXTS),
    spec=_of(finalizers=_TEXTS),
    status=_of(phase=_TEXT, conditions={"type": "array", "items": _of(
        type=_TEXT, status=_TEXT, lastTransitionTime=_TIME, message=_TEXT, reason=_TEXT)}))
_SHAPES = {name: Shape(name) for name in ("bool", "int", "double", "string", "bytes", "timestamp", "duration")}


class Expressions:
    """The expressions of one webhook or policy, one after the other; `object` has a type where its schema is known."""

    def __init__(self, *, params: Shape | None = None, composed: bool = False, object_: Shape = DYN) -> None:
        self._params, self._object = params, object_
        self._variables: dict[str, Shape] | None = {} if composed else None

    def errors(self, path: str, expression: str, returns: tuple[str, ...], *, shown: str = "",
               authorizer: bool = True) -> Iterator[FieldError]:
        """Yield what is wrong with an expression that has to come to one of some types."""
        try:
            found = self.compile(expression, authorizer=authorizer).returns.replace("null", "null_type")
        except CelError as error:
            yield invalid_value(path, shown or expression, f"compilation failed: {error}")
            return
        if found not in returns:
            wanted = returns[0] if len(returns) == 1 else f"one of [{' '.join(returns)}]"
            yield invalid_value(path, shown or expression, f"must evaluate to {wanted} but got {found}")

    def mutation_errors(self, path: str, expression: str) -> Iterator[FieldError]:
        """Yield what is wrong with the expression of a mutation."""
        try:
            self.compile(as_maps(expression))
        except CelError as error:
            yield invalid_value(path, expression, f"compilation failed: {error}")

    def variable_errors(self, path: str, name: str, expression: str) -> Iterator[FieldError]:
        """Yield what is wrong with a variable; what comes after may name it."""
        found: Shape | None = None
        try:
            found = _shape_named(self.compile(as_maps(expression)).returns)
        except CelError as error:
            yield invalid_value(path, expression, f"compilation failed: {error}")
        if self._variables is not None:
            self._variables[name] = found or DYN

    def compile(self, expression: str, *, authorizer: bool = True) -> Program:
        """Compile one expression. Raises `CelError`."""
        variables = tuple(self._variables.items()) if self._variables is not None else None
        return _environment(self._object, self._params, authorizer, variables).compile(expression)


@lru_cache(maxsize=32)
def _environment(object_: Shape, params: Shape | None, authorizer: bool,
                 variables: tuple[tuple[str, Shape], ...] | None) -> Typed:
    named: dict[str, Shape | str] = {"object": object_, "oldObject": object_}
    for name, schema in (("request", REQUEST), ("namespaceObject", NAMESPACE)):
        named[name] = shape_of(schema) or DYN
    if params is not None:
        named["params"] = params
    if authorizer:
        named["authorizer"] = MAP_OF_ANY
    if variables is not None:
        named["variables"] = Shape("object", fields=dict(variables))
    return Typed(named)


def _shape_named(type_: str) -> Shape:
    if type_.startswith(("map(", "list(")):
        return MAP_OF_ANY if type_.startswith("map(") else LIST_OF_ANY
    return _SHAPES.get(type_, DYN)
