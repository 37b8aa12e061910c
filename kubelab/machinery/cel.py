"""CEL: the expressions that people write into policies, webhooks and custom resource definitions.

    compiled("object.spec.replicas <= 5", ("object",)) ─► Program ─► .eval({"object": {...}}) ─► True

Values go in and come out as plain JSON. What cel-cpp has no type for (quantities, addresses, URLs, authorizers) is a
map with one key that says what it is, so that `==` and the member functions of `cel_library` work on it.

Invariant: an expression is compiled once in the life of the process, however many objects carry it.
Models:    k8s.io/apiserver/pkg/cel
Left out:  macros over two variables (`m.all(k, v, ...)`, `transformMap`) and `sortBy`, which the library does not have
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kubelab.machinery.cel_formats import with_optionals
from kubelab.machinery.cel_names import as_written, under_our_names

MISSING = ("CEL expressions need the optional package cel-expr-python: pip install 'kubelab[cel]'")
_TYPES = {"int": "INT", "uint": "UINT", "bool": "BOOL", "string": "STRING", "double": "DOUBLE", "bytes": "BYTES",
          "duration": "DURATION", "timestamp": "TIMESTAMP", "null": "NULL", "dyn": "DYN"}
# How cel-go says what cel-cpp says; the first that fits.
_WORDS = ((re.compile(r'Key not found in map : "?(.*?)"?$'), r"no such key: \1"),
          (re.compile(r"No matching overloads found.*"), "no such overload"),
          (re.compile(r"Applying SELECT to non-message type"), "no such overload"),
          (re.compile(r"Index error: index=(-?\d+).*"), r"index out of bounds: \1"),
          (re.compile(r"^cannot convert (\w+) to (\w+)$"), r"type conversion error from '\1' to '\2'"),
          (re.compile(r"divide by zero"), "division by zero"))

_CHAIN = re.compile(r"(?P<lead>ERROR: <input>:\d+:)(?P<column>\d+): undeclared reference to '(?P<chain>\w+(?:\.\w+)+)'"
                    r"(?P<rest>.*\n \| .*\n \| )\.*\^")

_CALL = re.compile(r"ERROR: <input>:\d+:(?P<column>\d+): found no matching overload for '(?P<name>\w+)' applied to "
                   r"'\((?P<types>.*)\)'\n \| (?P<source>.*)")
_COMPILING = ((re.compile(r"(undefined field '[^']*') not found in struct '[^']*'"), r"\1"),
              (re.compile(r"expression of type ('[^']*') cannot be the operand of a select operation"),
               r"type \1 does not support field selection"),
              (re.compile(r"cannot be the range of a comprehension"), "cannot be range of a comprehension"),
              (re.compile(r"\bt\.T\d+\b"), "object"), (re.compile(r"\bnull_type\b"), "null"))


class CelError(Exception):
    """An expression that does not compile, or that came to no value; the text is cel-go's."""


class Program:
    """A compiled expression. `returns` is the type of its value, as CEL names it: bool, int, string, list(string)."""

    def __init__(self, expression: str, compiled_: Any) -> None:
        self.expression, self._compiled = expression, compiled_
        self.returns = _type_name(compiled_.return_type())

    def checked(self) -> bytes:
        """Return the expression as cel-cpp has it, with its types (see cel_ast.py)."""
        return bytes(self._compiled.serialize())

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
    return compile_in(_plain_environment(variables, types), expression)


def compile_in(made: Any, expression: str) -> Program:
    """Compile an expression in an environment. Raises `CelError`."""
    try:
        return Program(expression, made.compile(under_our_names(with_optionals(expression))))
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise CelError(_as_go_says(as_written(text))) from None


def environment(variables: Mapping[str, Any], pool: Any = None) -> Any:
    """Make an environment of variables of cel-cpp's types, with Kubernetes' functions. Raises `CelError`."""
    try:
        from cel_expr_python import cel
        from cel_expr_python.ext import ext_optional, ext_strings
    except ImportError:
        raise CelError(MISSING) from None
    from kubelab.machinery.cel_library import functions

    return cel.NewEnv(
        descriptor_pool=pool, variables=dict(variables), functions=functions(cel),
        extensions=[ext_strings.ExtStrings(version=2), ext_optional.ExtOptional()])


@lru_cache(maxsize=64)
def _plain_environment(variables: tuple[str, ...], types: tuple[str, ...]) -> Any:
    try:
        from cel_expr_python import cel
    except ImportError:
        raise CelError(MISSING) from None
    named = zip(variables, (*types, *["dyn"] * len(variables)), strict=False)
    return environment({name: getattr(cel.Type, _TYPES[type_]) for name, type_ in named})


def _as_go_says(text: str) -> str:
    """Word what is wrong with an expression as cel-go does, which does not tell what follows from another mistake."""
    found = [part for part in re.split(r"\n(?=ERROR: <input>:)", text) if "'*error*'" not in part]
    for pattern, words in _COMPILING:
        found = [pattern.sub(words, part) for part in found]
    return "\n".join(_CHAIN.sub(_from_its_start, _CALL.sub(_of_member, part)) for part in found)


def _of_member(found: re.Match[str]) -> str:
    """cel-go writes what a member function was called on before the others: string.(int)."""
    before = found["source"][:int(found["column"]) - 1]
    if not before.endswith(f".{found['name']}"):
        return found[0]
    target, _, others = found["types"].partition(", ")
    return found[0].replace(f"'({found['types']})'", f"'{target}.({others})'")


def _from_its_start(found: re.Match[str]) -> str:
    """cel-cpp points at the last step of a chain of names that leads nowhere, cel-go at its first name."""
    column = int(found["column"]) - len(found["chain"].rpartition(".")[0])
    return (f"{found['lead']}{column}: undeclared reference to '{found['chain'].partition('.')[0]}'{found['rest']}"
            f"{'.' * (column - 1)}^")


def _type_name(type_: Any) -> str:
    return str(type_.name()).lower().replace("<", "(").replace(">", ")").replace("null_type", "null")


def _reworded(text: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", text)
    for pattern, words in _WORDS:
        if pattern.search(text):
            return pattern.sub(words, text)
    return text
