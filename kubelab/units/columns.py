"""Printer columns that many kinds share, and the small words they are made of ("<none>", "3d4h", "app=web").

Models:    k8s.io/kubernetes/pkg/printers/internalversion (its common parts)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kubelab.machinery import clock, meta
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Column, Kind

NONE = "<none>"


def since(stamp: str | None, now: float) -> str:
    """Write how long ago `stamp` was, as kubectl does: 5s, 3m20s, 2d3h."""
    return meta.age(now - clock.parse_timestamp(stamp)) if stamp else "<unknown>"


def describe(kind: Kind, column: Column) -> str:
    """Return the column's description: its own words, or the schema's for the field that it shows."""
    if column.description or not column.path:
        return column.description
    from kubelab.machinery import schema

    return schema.describe(kind.api_version, kind.kind, column.path)


NAME = Column("Name", lambda o, now: o["metadata"]["name"], format="name", path="metadata.name")
AGE = Column("Age", lambda o, now: since(o["metadata"].get("creationTimestamp"), now),
             path="metadata.creationTimestamp")
CREATED_AT = Column("Created At", lambda o, now: o["metadata"].get("creationTimestamp"), type="date",
                    path="metadata.creationTimestamp")


def labels_text(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((labels or {}).items())) or NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Write a label selector as `kubectl get -o wide` does: app=web,tier in (a,b)."""
    if selector is None:
        return NONE
    rules = [(k, f"{k}={v}") for k, v in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], ",".join(sorted(rule.get("values") or ()))
        text = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})",
                "Exists": key, "DoesNotExist": f"!{key}"}[rule["operator"]]
        rules.append((key, text))
    return ",".join(text for _, text in sorted(rules)) or NONE


def shortened(items: Iterable[str], limit: int = 3) -> str:
    """Join at most `limit` items and count the rest: a,b,c + 4 more..."""
    found = list(items)
    text = ",".join(found[:limit])
    return f"{text} + {len(found) - limit} more..." if len(found) > limit else text


def addresses_text(ingress: Sequence[Mapping[str, Any]] | None) -> str:
    """Write the addresses of a load balancer status."""
    return ",".join(sorted({i.get("ip") or i.get("hostname") or "" for i in ingress or ()} - {""}))


def containers_of(template: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return list(((template or {}).get("spec") or {}).get("containers") or ())


def template_columns(*selector_cell: Column, template: Callable[[Obj], Any] | None = None) -> tuple[Column, ...]:
    """Return the wide columns of every workload: containers, images and, of most, the selector."""
    of = template or (lambda o: o["spec"].get("template"))

    def cell(key: str, obj: Obj) -> str:
        return ",".join(c.get(key, "") for c in containers_of(of(obj)))

    return (
        Column("Containers", lambda o, now: cell("name", o), priority=1,
               description="Names of each container in the template."),
        Column("Images", lambda o, now: cell("image", o), priority=1,
               description="Images referenced by each container in the template."),
        *selector_cell,
    )
