"""Expectations: nothing is asked for twice because the informer is late."""

from __future__ import annotations

from kubelab.control_plane.controllers.expectations import TIMEOUT_S, Expectations
from kubelab.machinery.clock import SteppedClock


def test_creations_and_deletions_are_waited_for() -> None:
    """A key is satisfied when all of its creations, or each of its named deletions, were seen."""
    expected = Expectations(SteppedClock())
    expected.expect_creations("a", 2)
    expected.creation_observed("a")
    assert not expected.satisfied("a")
    expected.creation_observed("a")
    assert expected.satisfied("a")
    expected.expect_deletions("a", ["p1", "p2"])
    expected.deletion_observed("a", "p1")
    expected.deletion_observed("a", "p1")
    assert not expected.satisfied("a")
    expected.deletion_observed("a", "p2")
    assert expected.satisfied("a") and expected.satisfied("never heard of")


def test_waiting_ends() -> None:
    """After five minutes the informer is believed again."""
    clock = SteppedClock()
    expected = Expectations(clock)
    expected.expect_creations("a", 1)
    clock.jump(TIMEOUT_S + 1)
    assert expected.satisfied("a")
