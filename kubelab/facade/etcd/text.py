"""Transactions as etcdctl spells them: compares and operations in words, turned into the store's own.

    'mod("/demo/lock") = 0'    ─► Compare(b"/demo/lock", "mod", "=", 0)
    'put /demo/lock me'        ─► Put(b"/demo/lock", b"me")          also ("put", "/demo/lock", {"owner": "me"})
    'del /demo --prefix'       ─► DeleteRange(b"/demo", b"/demp")
    'get /demo/lock'           ─► Range(b"/demo/lock")

Invariant: a sentence that cannot be read is refused whole, before anything is written.
Models:    etcdctl txn
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kubelab.control_plane.etcd.api import Compare, DeleteRange, NestedTxn, Op, Put, Range, prefix_end

Target = Literal["version", "create", "mod", "value", "lease"]
TARGETS: Mapping[Any, Target] = {"mod": "mod", "m": "mod", "create": "create", "c": "create", "version": "version",
                                 "ver": "version", "value": "value", "val": "value", "lease": "lease"}
EXAMPLE = """'mod("/demo/lock") = 0' or ("mod", "/demo/lock", "=", 0)"""
OPS = ("=", "!=", "<", ">")
_COMPARE = re.compile(r"""\s*(\w+)\(\s*(?:"([^"]+)"|'([^']+)'|([^()"']+?))\s*\)\s*(!=|=|<|>)\s*([^=\s].*?)\s*""")

Sentence = str | Sequence[Any]


def compare(words: Sentence | Compare) -> Compare:
    """Read one compare: etcdctl's text, (target, key, op, value), or a Compare. Raises ValueError with an example."""
    if isinstance(words, Compare):
        return words
    parts: list[Any] = _spoken(words) if isinstance(words, str) else list(words)
    if len(parts) != 4 or parts[0] not in TARGETS or parts[2] not in OPS:
        raise ValueError(f"{words!r} is no compare; write it as {EXAMPLE}, where the target is one of version, create, "
                         f"mod, value, lease and the sign one of {' '.join(OPS)}")
    target, key, op, value = parts
    kind = TARGETS[target]
    return Compare(as_bytes(key), kind, op, as_bytes(_unquoted(value)) if kind == "value" else _number(value))


def _spoken(words: str) -> list[Any]:
    found = _COMPARE.fullmatch(words)
    if found is None:
        return []
    target, *keys, op, value = found.groups()
    return [target, next(key for key in keys if key is not None), op, value]


def operation(words: Sentence | Op) -> Op:
    """Read one operation: put, del or get, in etcdctl's words or as a tuple. Raises ValueError with an example."""
    if isinstance(words, (Put, DeleteRange, Range, NestedTxn)):
        return words
    parts = shlex.split(words) if isinstance(words, str) else list(words)
    prefix = "--prefix" in parts[1:]
    verb, *rest = [part for part in parts if not (isinstance(part, str) and part == "--prefix")] or [""]
    if verb == "put" and len(rest) == 2 and not prefix:
        return Put(as_bytes(rest[0]), as_bytes(rest[1]))
    if verb in ("del", "get") and len(rest) == 1:
        key = as_bytes(rest[0])
        end = prefix_end(key) if prefix else None
        return DeleteRange(key, end) if verb == "del" else Range(key, end)
    raise ValueError(f"{words!r} is no operation; there are 'put KEY VALUE', 'del KEY', 'get KEY', the last two also "
                     "with --prefix; quote a value that has spaces, or write (\"put\", key, value)")


def as_bytes(value: Any) -> bytes:
    """Return what is stored for a value: bytes and texts as they are, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)).encode()


def _unquoted(value: Any) -> Any:
    return value[1:-1] if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"' else value


def _number(value: Any) -> int:
    text = str(_unquoted(value))
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is no number; only value(...) is compared with a text") from None
