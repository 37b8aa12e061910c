"""A second version of a kind over the same store."""

from __future__ import annotations

import pytest

from kubelab.units.versions import FACES

EVENTS = FACES["events.k8s.io", "v1", "events"]


@pytest.mark.parametrize(("asked", "stored"), [
    ("regarding.name=web", "involvedObject.name=web"),
    ("type!=Normal,reportingController=kubelet", "type!=Normal,reportingComponent=kubelet"),
    ("reason=regarding.name", "reason=regarding.name"),
])
def test_a_field_selector_is_asked_in_the_words_of_the_store(asked: str, stored: str) -> None:
    """Names of fields are translated, values are not."""
    assert EVENTS.query({"fieldSelector": asked, "limit": "1"}) == {"fieldSelector": stored, "limit": "1"}


def test_a_query_without_selector_stays() -> None:
    """There is nothing to translate."""
    assert EVENTS.query({"limit": "1"}) == {"limit": "1"}


def test_an_event_without_reporter_says_so_in_core_alone() -> None:
    """Go leaves these fields out of events.k8s.io/v1 when they are empty, and shows them in core/v1."""
    stored = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {},
              "reportingComponent": "", "reportingInstance": "", "source": {}}
    assert EVENTS.outward(stored) == {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
                                      "regarding": {}, "deprecatedSource": {}}
