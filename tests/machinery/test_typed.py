from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubelab.machinery import schema
from kubelab.machinery.fieldset import to_fieldset
from kubelab.machinery.typed import filled, merged, without

NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


def node() -> schema.Node:
    found = schema.compiled("v1", "Pod")
    assert found is not None
    return found


def pod(names: list[str], image: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": image} for name in names]}}


@given(NAMES, NAMES)
def test_merged_lists_hold_everything_once_in_the_sent_order(live: list[str], sent: list[str]) -> None:
    """What was sent wins and keeps its order, what only the live list has keeps its own."""
    out = merged(node(), pod(live, "old"), pod(sent, "new"))["spec"]["containers"]
    names = [c["name"] for c in out]
    assert sorted(names) == sorted({*live, *sent})
    assert [n for n in names if n in sent] == sent
    assert [n for n in names if n not in sent] == [n for n in live if n not in sent]
    assert all((c["image"] == "new") == (c["name"] in sent) for c in out)


@given(NAMES.filter(bool), NAMES)
def test_taking_away_what_an_object_says_leaves_the_rest(live: list[str], gone: list[str]) -> None:
    """Elements that go, go, of a list that this empties null is left; the object that is cut stays as it was."""
    obj = pod(live, "x")
    out = without(node(), obj, to_fieldset(node(), pod(gone, "x")))
    left = [c["name"] for c in out["spec"]["containers"] or ()]
    assert left == [n for n in live if n not in gone]
    assert obj == pod(live, "x")


def test_atomic_values_are_replaced_as_a_whole() -> None:
    """A command and a label selector are not merged, labels are."""
    live = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "command": ["a", "b"]}]}}
    sent = {"metadata": {"labels": {"b": "2"}}, "spec": {"containers": [{"name": "c", "command": ["z"]}]}}
    out = merged(node(), live, sent)
    assert out["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert out["spec"]["containers"] == [{"name": "c", "command": ["z"]}]


def test_what_is_emptied_may_be_told_from_what_is_gone() -> None:
    """A map whose last field is taken away is null, as upstream has it; where null is no value it is filled again."""
    live = {"metadata": {"labels": {"a": "1"}, "name": "p"}}
    out = without(node(), live, {"f:metadata": {"f:labels": {"f:a": {}}}})
    assert out == {"metadata": {"labels": None, "name": "p"}}
    assert filled(out, live) == {"metadata": {"labels": {}, "name": "p"}}
