"""Keys that stand twice in one JSON object: a dict swallows the first of them, a strict reader names them.

    {"a": 1, "spec": {"b": 1, "b": 2}} ─► pairs, nothing swallowed ─► every path in the order of the text ─► spec.b

Models:    sigs.k8s.io/json, UnmarshalStrict
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

MAX_DEPTH = 200
_UNKNOWN, _TWIN = 'unknown field "', 'duplicate field "'


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written."""


def parse_json(data: bytes | str) -> tuple[Any, list[str]]:
    """Read JSON and name the keys that stand twice in one object, as paths: metadata.name, spec.containers[0].image.

    Raises:
        ValueError: no JSON; the message says where.
    """
    value = orjson.loads(data)
    text = data if isinstance(data, str) else data.decode()
    if text.count("{") + text.count("[") > MAX_DEPTH:
        try:
            orjson.dumps(value)  # what is nested too deep to be written is not let in
        except orjson.JSONEncodeError:
            raise ValueError("exceeded max depth") from None
    return value, list(dict.fromkeys(path for path, again in _paths(_read(text), "") if again))


def told_in_order(data: bytes, told: list[str]) -> list[str]:
    """Sort `unknown field "a.b"` and `duplicate field "a.c"` as the fields stand in the text.

    What is unknown is passed over whole: whatever stands twice in it, or as it, is not told beside it.
    """
    passed_over = [text.removeprefix(_UNKNOWN).removesuffix('"') for text in told if text.startswith(_UNKNOWN)]
    hidden = tuple(_TWIN + path + end for path in passed_over for end in ('"', ".", "["))
    told = [text for text in told if not text.startswith(hidden)]
    places: dict[str, int] = {}
    for place, (path, again) in enumerate(_paths(_read(data.decode()), "")):
        places.setdefault(f'{_TWIN if again else _UNKNOWN}{path}"', place)
    return sorted(told, key=lambda text: places.get(text, len(places)))


def _read(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_Pairs)


def _paths(value: Any, path: str) -> Iterator[tuple[str, bool]]:
    """Yield every field in the order of the text, and whether it has stood there before."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, part in value:
            yield path + key, key in seen
            seen.add(key)
            yield from _paths(part, f"{path}{key}.")
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from _paths(part, f"{path.removesuffix('.')}[{i}].")
