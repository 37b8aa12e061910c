"""Flow schemas and priority levels: what is mandatory stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.meta import copy_obj
from kubelab.units.catalogue import Kind
from kubelab.units.flow_defaults import MANDATORY, built_in
from kubelab.units.flowcontrol import FLOW_SCHEMA
from kubelab.units.prioritylevel import PRIORITY_LEVEL_CONFIGURATION

KINDS = (FLOW_SCHEMA, PRIORITY_LEVEL_CONFIGURATION)


def told(kind: Kind, name: str, **change: Any) -> list[str]:
    made = copy_obj(next(obj for obj in built_in(kind.kind) if obj["metadata"]["name"] == name))
    made["spec"] |= change
    kind.default(made)
    return [str(error) for error in kind.validate(made)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_what_a_server_has_from_the_start_is_valid(kind: Kind) -> None:
    """Every built-in object passes its own rules."""
    assert [told(kind, obj["metadata"]["name"]) for obj in built_in(kind.kind)] == [[]] * len(built_in(kind.kind))


@pytest.mark.parametrize("name", MANDATORY)
def test_a_mandatory_schema_may_not_change(name: str) -> None:
    """Not even in who it is for."""
    assert told(FLOW_SCHEMA, name, rules=[])[-1].endswith(f": spec of '{name}' must equal the fixed value")


def test_of_mandatory_levels_only_the_shares_of_exempt_may_change() -> None:
    """`exempt` may lend; `catch-all` stays as it is."""
    assert told(PRIORITY_LEVEL_CONFIGURATION, "exempt", exempt={"lendablePercent": 5}) == []
    limited = {"nominalConcurrencyShares": 6, "limitResponse": {"type": "Reject"}}
    found, = told(PRIORITY_LEVEL_CONFIGURATION, "catch-all", limited=limited)
    assert found.endswith("spec of 'catch-all' must equal the fixed value")
