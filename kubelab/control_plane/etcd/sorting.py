"""The order and the sieve of a range: what etcd does with the keys it found, before it cuts off at the limit.

    found, in key order ─► bounds on mod and create revision ─► sort by target ─► (limit)

Invariant: keys that are equal in the target keep their order, up or down.
Models:    etcd's applyRange: a target other than the key sorts upwards when no order is given
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubelab.control_plane.etcd.api import KeyValue, Range, SortTarget

_BY: dict[SortTarget, Callable[[KeyValue], Any]] = {
    "key": lambda kv: kv.key, "version": lambda kv: kv.version, "create": lambda kv: kv.create_revision,
    "mod": lambda kv: kv.mod_revision, "value": lambda kv: kv.value}


def arranged(kvs: list[KeyValue], query: Range) -> list[KeyValue]:
    """Return the keys within the query's bounds in its order; `kvs` come in key order and stay as they are."""
    low_mod, high_mod = query.min_mod_revision, query.max_mod_revision
    low_create, high_create = query.min_create_revision, query.max_create_revision
    if low_mod or high_mod or low_create or high_create:
        kvs = [kv for kv in kvs
               if kv.mod_revision >= low_mod and (not high_mod or kv.mod_revision <= high_mod)
               and kv.create_revision >= low_create and (not high_create or kv.create_revision <= high_create)]
    if query.sort_target == "key" and query.sort_order != "descend":
        return kvs
    return sorted(kvs, key=_BY[query.sort_target], reverse=query.sort_order == "descend")
