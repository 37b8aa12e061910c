"""Formats by name, as CEL asks for them: `format.dns1123Label().validate(self.name)`, `format.named("uuid")`.

    format.x() ─► {"format": "x"} ─► validate(text) ─► optional: the messages, or nothing where the text is right

An optional cannot come out of a function of ours, but out of a list that may be empty it can: `validate(x)[?0]`.

Models:    k8s.io/apiserver/pkg/cel/library/format.go
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.formats import has_format

Opaque = dict[str, Any]


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """A prefix of a name may end with a dash."""
    return lambda text: check(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _as(format_: str, message: str) -> Callable[[str], list[str]]:
    return lambda text: [] if has_format(format_, text) else [message]


FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns1123_label_errors, "dns1123Subdomain": names.dns1123_subdomain_errors,
    "dns1035Label": names.dns1035_label_errors, "qualifiedName": names.qualified_name_errors,
    "dns1123LabelPrefix": _prefix(names.dns1123_label_errors),
    "dns1123SubdomainPrefix": _prefix(names.dns1123_subdomain_errors),
    "dns1035LabelPrefix": _prefix(names.dns1035_label_errors), "labelValue": names.label_value_errors,
    "uri": _as("uri", "invalid URI"), "uuid": _as("uuid", "does not match the UUID format"),
    "byte": _as("byte", "invalid base64"), "date": _as("date", "invalid date"),
    "datetime": _as("date-time", "invalid datetime")}


def with_optionals(expression: str) -> str:
    """Return an expression in which what comes from our functions as a list of one or none is an optional."""
    if "format." not in expression:
        return expression
    out, open_ = [], list[bool]()  # of each bracket that is open: does one of our calls end with it?
    for token in _TOKEN.finditer(expression):
        text = token[0]
        out.append(text)
        if text[-1] in "([{":
            open_.append(len(text) > 1)
        elif text in (")", "]", "}") and open_ and open_.pop():
            out.append("[?0]")
    return "".join(out)


_TOKEN = re.compile(r"""[rR]?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?:\.validate|format\.named)\(|.""", re.DOTALL)


def _named(name: str) -> list[Opaque]:
    return [{"format": name}] if name in FORMATS else []


def _validate(format_: Opaque, text: str) -> list[list[str]]:
    found = FORMATS[format_["format"]](text)
    return [found] if found else []


# name, what it takes, what it gives, how, as in cel_library.
Row = tuple[str, str, str, Callable[..., Any]]
MEMBERS: tuple[Row, ...] = (("validate", "os", "l", _validate),)
GLOBALS: tuple[Row, ...] = (
    ("format.named", "s", "M", _named),
    *((f"format.{name}", "", "o", lambda name=name: {"format": name}) for name in FORMATS))
