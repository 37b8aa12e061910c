"""PriorityLevelConfiguration: how many requests of a kind are served at once, and how many may wait.

    FlowSchema ─► its level ─► a seat is free? ─► served, queued, or refused

Models: pkg/registry/flowcontrol, pkg/apis/flowcontrol of kube-apiserver
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE
from kubelab.units.flow_defaults import GROUP
from kubelab.units.flowcontrol import condition_errors, fixed, prepare

MAX_QUEUES, MAX_HASH_BITS = 10_000_000, 60
QUEUING_DEFAULTS = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def _default_level(level: Obj) -> None:
    spec = level.setdefault("spec", {})
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in QUEUING_DEFAULTS.items():
                queuing[key] = queuing.get(key) or value


def _validate_level(level: Obj) -> Sequence[FieldError]:
    name, spec = level["metadata"].get("name") or "", level.get("spec") or {}
    free = "exempt" if name == "exempt" else ""
    return [*_level_errors(name, spec), *fixed("PriorityLevelConfiguration", name, spec, _default_level, free)]


def _level_errors(name: str, spec: Obj) -> rules.Errors:
    type_, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (type_ == "Exempt"):
        yield invalid_value("spec.type", type_, "type must be 'Exempt' if and only if name is 'exempt'")
    if type_ == "Exempt":
        if limited is not None:
            yield rules.forbidden("spec.limited", "must be nil if the type is not Limited")
        yield from _share_errors("spec.exempt", exempt or {})
    elif type_ == "Limited":
        if exempt is not None:
            yield rules.forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
            return
        yield from _limit_errors("spec.limited.limitResponse", limited.get("limitResponse") or {})
        yield from _share_errors("spec.limited", limited)
    else:
        yield rules.unsupported("spec.type", type_, ("Exempt", "Limited"))


def _share_errors(path: str, shares: Obj) -> rules.Errors:
    count, lent, borrowed = (shares.get(key) for key in
                             ("nominalConcurrencyShares", "lendablePercent", "borrowingLimitPercent"))
    if count is not None and count < 0:
        yield invalid_value(f"{path}.nominalConcurrencyShares", count, "must be a non-negative integer")
    yield from rules.in_range(f"{path}.lendablePercent", lent, 0, 100)
    if borrowed is not None and borrowed < 0:
        yield invalid_value(f"{path}.borrowingLimitPercent", borrowed, "if specified, must be a non-negative integer")


def _limit_errors(path: str, response: Obj) -> rules.Errors:
    type_, queuing = response.get("type", ""), response.get("queuing")
    if type_ == "Reject":
        if queuing is not None:
            yield rules.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif type_ != "Queue":
        yield rules.unsupported(f"{path}.type", type_, ("Queue", "Reject"))
    elif queuing is None:
        yield required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queue_errors(f"{path}.queuing", queuing)


def _queue_errors(path: str, queuing: Obj) -> rules.Errors:
    limit, queues, hand = (queuing.get(key, 0) for key in ("queueLengthLimit", "queues", "handSize"))
    if limit <= 0:
        yield invalid_value(f"{path}.queueLengthLimit", limit, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{path}.queues", queues, "must be positive")
    elif queues > MAX_QUEUES:
        yield invalid_value(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}")
    if hand <= 0:
        yield invalid_value(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(sum(math.log2(queues - i) for i in range(min(hand, 64)))) > MAX_HASH_BITS:
        yield invalid_value(f"{path}.handSize", hand, f"required entropy bits of deckSize {queues} and handSize {hand} "
                                                      f"should not be greater than {MAX_HASH_BITS}")


def _limited(key: str, *way: str) -> Column:
    def cell(level: Obj, now: float) -> Any:
        found = level["spec"].get("limited") or {}
        for step in way:
            found = found.get(step) or {}
        return found.get(key, NONE)

    return Column(key[0].upper() + key[1:], cell, path=".".join(("spec.limited", *way, key)))


PRIORITY_LEVEL_CONFIGURATION = Kind(
    "PriorityLevelConfiguration", "prioritylevelconfigurations", group=GROUP, namespaced=False,
    subresources=frozenset({"status"}), generation=True, default=_default_level, prepare_create=prepare,
    validate=_validate_level, validate_part=condition_errors,
    columns=(
        NAME, Column("Type", lambda o, now: o["spec"].get("type", ""), path="spec.type"),
        _limited("nominalConcurrencyShares"), _limited("queues", "limitResponse", "queuing"),
        _limited("handSize", "limitResponse", "queuing"), _limited("queueLengthLimit", "limitResponse", "queuing"), AGE,
    ),
)
