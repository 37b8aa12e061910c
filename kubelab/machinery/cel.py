"""CEL: the expressions that people write into policies, webhooks and custom resource definitions.

    compiled("object.spec.replicas <= 5", ("object",)) ─► Program ─► .eval({"object": {...}}) ─► True

Values go in and come out as plain JSON. What cel-cpp has no type for (quantities, addresses, URLs, authorizers) is a
map with one key that says what it is, so that `==` and the member functions of `cel_library` work on it.

Invariant: an expression is compiled once in the life of the process, however many objects carry it.
Models:    k8s.io/apiserver/pkg/cel
Left out:  semver and named formats
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MISSING = ("CEL expressions need the optional package cel-expr-python: pip install 'kubelab[cel]'")
_TYPES = {"int": "INT", "uint": "UINT", "bool": "BOOL", "string": "STRING", "double": "DOUBLE", "bytes": "BYTES",
          "duration": "DURATION", "timestamp": "TIMESTAMP", "null": "NULL", "dyn": "DYN"}
# How cel-go says what cel-cpp says; the first that fits.
_WORDS = ((re.compile(r'Key not found in map : "?(.*?)"?$'), r"no such key: \1"),
          (re.compile(r"No matching overloads found.*"), "no such overload"),
          (re.compile(r"Applying SELECT to non-message type"), "no such overload"),
          (re.compile(r"Index error: index=(-?\d+).*"), r"index out of bounds: \1"),
          (re.compile(r"divide by zero"), "division by zero"))


class CelError(Exception):
    """An expression that does not compile, or that came to no value; the text is cel-go's."""


class Program:
    """A compiled expression. `returns` is the type of its value, as CEL names it: bool, int, string, list(string)."""

    def __init__(self, expression: str, compiled_: Any) -> None:
        self.expression, self._compiled = expression, compiled_
        self.returns = _type_name(compiled_.return_type())

    def eval(self, data: Mapping[str, Any]) -> Any:
        """Return the value as plain JSON. Raises `CelError`."""
        try:
            value = self._compiled.eval(data=data)
            if value.type().name() == "ERROR":
                raise CelError(_reworded(str(value.value())))
            return value.plain_value()
        except (RuntimeError, TypeError) as error:
            raise CelError(_reworded(str(error))) from None


@lru_cache(maxsize=4096)
def compiled(expression: str, variables: tuple[str, ...], types: tuple[str, ...] = ()) -> Program:
    """Compile an expression over these variables, whose types are `dyn` unless `types` names others in order.

    Raises `CelError` with cel-go's text: `ERROR: <input>:1:5: undeclared reference to 'x' (in container '')...`.
    """
    try:
        return Program(expression, _environment(variables, types).compile(expression))
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise CelError(text) from None


@lru_cache(maxsize=64)
def _environment(variables: tuple[str, ...], types: tuple[str, ...]) -> Any:
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings
    except ImportError:
        raise CelError(MISSING) from None
    from kubelab.machinery.cel_library import functions

    named = dict(zip(variables, (*types, *["dyn"] * len(variables)), strict=False))
    return cel.NewEnv(
        variables={name: getattr(cel.Type, _TYPES[type_]) for name, type_ in named.items()},
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_math.ExtMath(),
                    ext_bindings.ExtBindings(), ext_encoders.ExtEncoders()],
        functions=functions(cel))


def _type_name(type_: Any) -> str:
    return str(type_.name()).lower().replace("<", "(").replace(">", ")").replace("null_type", "null")


def _reworded(text: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", text)
    for pattern, words in _WORDS:
        if pattern.search(text):
            return pattern.sub(words, text)
    return text
