from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.machinery.errors import ApiError
from kubelab.machinery.selectors import from_label_selector, parse_field_selector, parse_label_selector

WORD = st.sampled_from(["a", "b", "c", "x-1", "tier"])
LABELS = st.dictionaries(WORD, WORD)


@pytest.mark.parametrize(("text", "yes", "no"), [
    ("app=web", {"app": "web"}, {"app": "db"}), ("app==web", {"app": "web"}, {}),
    ("app!=web", {}, {"app": "web"}), ("app", {"app": ""}, {}), ("!app", {}, {"app": "x"}),
    ("app in (a, b)", {"app": "b"}, {"app": "c"}), ("app notin (a,b)", {}, {"app": "a"}),
    ("n>5", {"n": "6"}, {"n": "x"}), ("n<5", {"n": "4"}, {"n": "5"}), ("app=", {"app": ""}, {"app": "a"}),
    ("a=b,c!=d", {"a": "b"}, {"a": "b", "c": "d"}), ("in in (in)", {"in": "in"}, {})])
def test_every_operator_says_yes_and_no(text: str, yes: dict[str, str], no: dict[str, str]) -> None:
    """Each form of requirement matches what it should and nothing else."""
    selector = parse_label_selector(text)
    assert selector.matches(yes) and not selector.matches(no)


@pytest.mark.parametrize(("text", "message"), [
    ("a in", "unable to parse requirement: found '' expected: '('"),
    (",,", "found ',', expected: !, identifier, or 'end of string'"),
    ("a=b,", "found '', expected: identifier after ','"),
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("!a=b", "found '=', expected: ',' or 'end of string'"),
    ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'")])
def test_nonsense_is_refused_in_kubernetes_words(text: str, message: str) -> None:
    """The message says what was found and what may stand there."""
    with pytest.raises(ApiError) as refused:
        parse_label_selector(text)
    assert (refused.value.code, refused.value.message) == (400, message)


@given(LABELS, LABELS)
def test_a_selector_matches_exactly_the_supersets_of_its_labels(wanted: dict[str, str], found: dict[str, str]) -> None:
    """matchLabels, its text form and the subset relation are one and the same."""
    selector = from_label_selector({"matchLabels": wanted})
    assert selector.matches(found) == (wanted.items() <= found.items())
    assert parse_label_selector(str(selector)).matches(found) == selector.matches(found)
    assert selector.exact == wanted


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    """None and {} differ, as in the API."""
    assert not from_label_selector(None).matches({}) and from_label_selector({}).matches({"a": "b"})


def test_expressions_and_their_faults() -> None:
    """matchExpressions work together with matchLabels; an unknown operator is refused."""
    selector = from_label_selector({"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "t", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"}]})
    assert selector.matches({"a": "b", "t": "y"}) and not selector.matches({"a": "b", "t": "y", "old": ""})
    with pytest.raises(ApiError, match='"Is" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "t", "operator": "Is"}]})


def test_all_that_is_wrong_with_a_requirement_is_said_the_key_first() -> None:
    """The key is checked before its operator is read; several faults stand in brackets."""
    with pytest.raises(ApiError) as refused:
        parse_label_selector("-a b")
    assert refused.value.message.startswith('unable to parse requirement: <nil>: Invalid value: "-a": name part must')
    with pytest.raises(ApiError) as refused:
        parse_label_selector("a>x_")
    assert refused.value.message.startswith("unable to parse requirement: [values[0]: Invalid value: \"x_\": for 'Gt'")
    assert ', values[0][a]: Invalid value: "x_": a valid label must be' in refused.value.message


def test_field_selectors() -> None:
    """Fields are compared as text, a comma can be escaped, and a term without operator is refused."""
    selector = parse_field_selector(r"spec.nodeName=n1,status.phase!=Failed,x==a\,b")
    assert selector.requirements == (("spec.nodeName", "=", "n1"), ("status.phase", "!=", "Failed"), ("x", "=", "a,b"))
    assert selector.matches({"spec.nodeName": "n1", "x": "a,b"})
    assert not selector.matches({"spec.nodeName": "n1", "x": "a,b", "status.phase": "Failed"})
    with pytest.raises(ApiError) as refused:
        parse_field_selector("metadata.name")
    assert refused.value.message == "invalid selector: 'metadata.name'; can't understand 'metadata.name'"
