"""What changed between two versions, line by line."""

from __future__ import annotations

from typing import Any

from kubelab.views.diff import MOST_LINES, compare, writer


def test_a_change_stands_under_its_headings() -> None:
    """Far-away lines are counted, the path to the change stays readable."""
    old = {"spec": {"a": list(range(9)), "template": {"spec": {"image": "nginx:1", "z": 1}}}}
    new = {"spec": {"a": list(range(9)), "template": {"spec": {"image": "nginx:2", "z": 1}}}}
    assert compare(old, new, context=0) == [
        (" ", "spec:"), ("…", "10 lines alike"), (" ", "  template:"), (" ", "    spec:"),
        ("-", "      image: nginx:1"), ("+", "      image: nginx:2"), (" ", "      z: 1")]


def test_what_every_write_changes_is_left_out() -> None:
    """managedFields and resourceVersion say nothing about a change."""
    old = {"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [1]}}
    new = {"metadata": {"name": "a", "resourceVersion": "2", "managedFields": [2]}}
    assert compare(old, new) == [] and repr(compare(old, new)) == "no difference"
    assert old["metadata"]["managedFields"] == [1]


def test_coming_and_going() -> None:
    """None is "not there": everything is new, or old."""
    made, gone = compare(None, {"a": 1}), compare("one\ntwo", None)
    assert made == [("+", "a: 1")] and gone == [("-", "one"), ("-", "two")]
    assert (made.summary, gone.summary) == ("+1 −0", "+0 −2")


def test_colour_is_never_alone() -> None:
    """Every line of the HTML begins with its sign; data is escaped."""
    shown = compare("<b>", "<i>")._repr_html_()
    assert "- &lt;b&gt;" in shown and "+ &lt;i&gt;" in shown and "background:rgba" in shown


def test_huge_values_are_compared_in_time() -> None:
    """Beyond a bound, the middle that differs is told as all old, all new."""
    old, new = ([f"{side}{i}" for i in range(MOST_LINES + 1)] for side in "ab")
    found = compare("\n".join(["same", *old]), "\n".join(["same", *new]))
    assert (found[0], found.removed, found.added) == ((" ", "same"), MOST_LINES + 1, MOST_LINES + 1)


def test_who_wrote_a_version_is_told_by_its_managed_fields() -> None:
    """The manager with a new entry or a new date; who only lost fields to it did not write."""
    def version(*entries: tuple[str, str, str]) -> dict[str, Any]:
        return {"metadata": {"managedFields": [{"manager": m, "time": t, "fieldsV1": f} for m, t, f in entries]}}

    first = version(("kubelab", "10:00", "replicas image"))
    second = version(("anna", "10:00", "replicas"), ("kubelab", "10:00", "image"))
    third = version(("anna", "10:00", "replicas paused"), ("kubelab", "10:00", "image"))
    assert [writer(None, first), writer(first, second), writer(second, third)] == ["kubelab", "anna", "anna"]
    assert (writer(third, third), writer(None, "text"), writer(third, None)) == ("", "", "")
