"""The simple JSONPath of custom resource definitions: printer columns, selectable fields, replicas.

    .status.conditions[?(@.type=="Ready")].status ─► [step, step, ...] ─► the values it finds

Models:    k8s.io/client-go/util/jsonpath, as far as printer columns may use it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]
_STEP = re.compile(r"""\.(?P<name>(?:\\.|[^.\[\]\\'"{}()\s])+) | \[(?P<index>-?\d+)\] | (?P<all>\[\*\]|\.\*)
    | \['(?P<quoted>[^']+)'\] | \[\?\(\s*@(?P<field>(?:\.(?:\\.|[^.\s=!<>)])+)*)
      \s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>"[^"]*"|'[^']*'|[^\s)]+)\s*)?\)\]""", re.VERBOSE)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b}


class PathError(ValueError):
    """A text that is no path."""


def find(path: str, value: Any) -> list[Any]:
    """Return every value at a path. Raises `PathError`."""
    found = [value]
    for step in compiled(path):
        found = [part for one in found for part in step(one)]
    return found


def first(path: str, value: Any) -> Any:
    """Return the value at a path, or None."""
    return next(iter(find(path, value)), None)


@lru_cache(maxsize=1024)
def compiled(path: str) -> tuple[Step, ...]:
    text = path.strip()
    text = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    text, steps, at = (text if text.startswith((".", "[")) else f".{text}"), [], 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise PathError(f"unrecognized character in action: {text[at:]!r}")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def is_path(text: str) -> bool:
    try:
        compiled(text)
    except PathError:
        return False
    return True


def names(path: str) -> list[str] | None:
    """Return the field names of a path that is nothing but names, else None."""
    found, at = [], 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or match["name"] is None:
            return None
        found.append(_plain(match["name"]))
        at = match.end()
    return found


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _step(match: re.Match[str]) -> Step:
    name = match["quoted"] or (_plain(match["name"]) if match["name"] else "")
    if name:
        return lambda v: [v[name]] if isinstance(v, dict) and name in v else []
    if match["index"]:
        index = int(match["index"])
        return lambda v: [v[index]] if isinstance(v, list) and -len(v) <= index < len(v) else []
    if match["all"]:
        return lambda v: v if isinstance(v, list) else list(v.values()) if isinstance(v, dict) else []
    return _filter(match["field"], match["op"], match["value"])


def _filter(field: str, operator: str | None, wanted: str | None) -> Step:
    inner = compiled(field) if field else ()
    value: Any = None
    if wanted is not None:
        value = wanted[1:-1] if wanted[0] in "\"'" else {"true": True, "false": False}.get(wanted, wanted)
        if isinstance(value, str) and wanted[0] not in "\"'":
            value = float(value) if re.fullmatch(r"-?\d+(\.\d+)?", value) else value

    def holds(item: Any) -> bool:
        found = [item]
        for step in inner:
            found = [part for one in found for part in step(one)]
        if operator is None:
            return bool(found)
        try:
            return any(_COMPARE[operator](one, value) for one in found)
        except TypeError:
            return False

    return lambda v: [item for item in v if holds(item)] if isinstance(v, list) else []
