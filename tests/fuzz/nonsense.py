"""Objects that look real, and what spoils them.

    schema of a kind ─► grown (right types, plausible values) ─► spoiled (junk, lost and doubled parts) ─► text
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

from kubelab.machinery.schema import Node, compiled
from kubelab.units.catalogue import Kind

JUNK: tuple[Any, ...] = (
    None, "", 0, -1, [], {}, "x", True, 1.5, 2**31, 2**63, -(2**63) - 1, 1e308, float("nan"), "é", "\x00", "a\r\nb",
    "\ud800", [None], [{}], {"a": None},
    [""], "a" * 300, "1Gi", "-5", "10e400", "1" * 400, {"a": 1}, "Bad_!", "../..", "%2e%2e",
    "*", "a=b,c", [[]], {"": ""}, {"$patch": "delete"}, {"$patch": "replace"}, {"$retainKeys": ["a"]},
    "2026-13-40T99:00:00Z", "9999-12-31T23:59:59Z", {"matchLabels": {"a": "b"}}, "$(X)", "{{}}", "<script>")
WORDS = (
    "a", "web", "x-1", "default", "nginx", "app", "80", "TCP", "http", "Always", "a.b/c", "example.com", "/a", "Exists",
    "10.0.0.1", "25%", "kubernetes.io/x", "node-1", "ClusterIP", "Foreground", "rbac.authorization.k8s.io", "*")
SCALARS: dict[str, tuple[Any, ...]] = {
    "boolean": (True, False), "int32": (0, 1, 2, 80, 65535), "int64": (0, 1, 30, 3600), "number": (0.5, 1),
    "quantity": ("1", "100m", "1Gi"), "intorstring": (1, "25%", "http"), "bytes": ("YQ==", ""),
    "time": ("2026-01-02T03:04:05Z",), "microtime": ("2026-01-02T03:04:05.000000Z",)}
DEPTH = 7


def grown(node: Node, chance: Random, depth: int = 0) -> Any:
    """Return a value of a type: what is required, and some of the rest, fewer the deeper it is."""
    match node.kind:
        case "struct":
            keep = 0.75 if depth < 2 else 0.35 if depth < 4 else 0.15
            names = [n for n in node.fields if n in node.required or (depth < DEPTH and chance.random() < keep)]
            return {name: grown(node.fields[name], chance, depth + 1) for name in names}
        case "list":
            return [grown(node.element, chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2)))]
        case "map":
            keys = chance.choices(WORDS, k=chance.choice((0, 1, 2)))
            return {key: grown(node.element, chance, depth + 1) for key in keys}
        case "string":
            return chance.choice(WORDS)
        case kind:
            return chance.choice(SCALARS.get(kind, WORDS))


def an_object(kind: Kind, name: str, chance: Random) -> dict[str, Any]:
    """Return an object of a kind, valid or not quite."""
    node = compiled(kind.api_version, kind.kind)
    body = grown(node, chance) if node is not None else {}
    metadata = {"name": name, "labels": {"fuzz": "yes"}}
    return {**body, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield (*path, key)
        yield from places(part, (*path, key))


def spoiled(obj: Any, chance: Random) -> Any:
    """Return a copy in which one to three things are junk, gone, doubled, renamed, or somebody else's."""
    out = copy.deepcopy(obj)
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = list(places(out))
        if not found:
            break
        *way, last = chance.choice(found)
        inside = out
        for key in way:
            inside = inside[key]
        match chance.randrange(8):
            case 0:
                del inside[last]
            case 1 if isinstance(inside, list):
                inside.append(copy.deepcopy(inside[last]))
            case 1:
                inside[chance.choice(("nope", "$patch", "\x00", "", "é", "apiVersion"))] = inside.pop(last)
            case 2:
                *there, end = chance.choice(found)
                other = out
                try:
                    for key in there:
                        other = other[key]
                    inside[last] = copy.deepcopy(other[end])
                except (KeyError, IndexError, TypeError):
                    continue
            case _:
                inside[last] = copy.deepcopy(chance.choice(JUNK))
    return out


QUERY_KEYS = (
    "labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds",
    "allowWatchBookmarks", "sendInitialEvents", "dryRun", "fieldManager", "fieldValidation", "force", "pretty",
    "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "nope", "")
QUERY_VALUES = (
    "", "0", "1", "-1", "x", "true", "All", "Exact", "NotOlderThan", "99999999999999999999", "a=b", "a in (b,c)",
    "a in (", "((", ",",
    "!a", "a!=b", "a>5", "a notin ()", "metadata.name=x", "metadata.name", "status.phase=Running", "=",
    "spec.nodeName=a,metadata.namespace!=b", "\\,", "a\\=b=c", "Strict", "Background", "eyJ2IjoibWV0YS5rOHMuaW8vdjEi",
    "é", "\x00", "%", "a" * 200, "a=b&limit=2", "é=ü", "Table")


def a_query(chance: Random) -> list[tuple[str, str]]:
    return [(chance.choice(QUERY_KEYS), chance.choice(QUERY_VALUES)) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
