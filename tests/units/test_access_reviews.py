"""Access reviews: what may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units.access_reviews import review_errors, selected

PODS, PATH = {"verb": "get", "resource": "pods"}, {"path": "/healthz", "verb": "get"}


def told(kind: str, spec: dict[str, Any], meta: dict[str, Any] | None = None) -> list[str]:
    return [str(error) for error in review_errors({"kind": kind, "metadata": meta or {}, "spec": spec})]


@pytest.mark.parametrize(("kind", "spec", "messages"), [
    ("SubjectAccessReview", {"resourceAttributes": PODS, "nonResourceAttributes": PATH}, [
        'nonResourceAttributes: Invalid value: {"Path":"/healthz","Verb":"get"}: cannot be specified in combination '
        "with resourceAttributes", 'user: Invalid value: "": at least one of user or group must be specified']),
    ("SelfSubjectAccessReview", {}, ["resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or "
                                     "resourceAttributes must be specified"]),
    ("LocalSubjectAccessReview", {"user": "u", "nonResourceAttributes": PATH}, [
        'nonResourceAttributes: Invalid value: {"Path":"/healthz","Verb":"get"}: disallowed on this kind of request']),
    ("SelfSubjectAccessReview", {"resourceAttributes": PODS | {"fieldSelector": {}}}, [
        "resourceAttributes.fieldSelector.requirements: Required value: when "
        "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required"]),
    ("SelfSubjectAccessReview", {"resourceAttributes": PODS | {"labelSelector": {
        "rawSelector": "a", "requirements": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "New"}]}}}, [
        'resourceAttributes.labelSelector.rawSelector: Invalid value: "a": may not specified at the same time as '
        "requirements", "resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified "
        "when `operator` is 'In' or 'NotIn'"]),
])
def test_what_may_be_asked(kind: str, spec: dict[str, Any], messages: list[str]) -> None:
    """One thing, of someone, with selectors that say what they select."""
    assert told(kind, spec) == [f"spec.{message}" for message in messages]


def test_a_question_has_no_name() -> None:
    """Metadata is empty, but for the namespace of a local review, which is the one that is asked about."""
    asked = {"user": "u", "resourceAttributes": PODS | {"namespace": "a"}}
    assert told("SubjectAccessReview", asked, {"name": "x"}) == ['metadata: Invalid value: {"name":"x"}: must be empty']
    assert told("LocalSubjectAccessReview", asked, {"namespace": "a"}) == []
    assert told("LocalSubjectAccessReview", asked, {"namespace": "b"}) == [
        'spec.resourceAttributes.namespace: Invalid value: "a": must match metadata.namespace']


@pytest.mark.parametrize(("selector", "value"), [
    ({"rawSelector": "a=b,spec.nodeName=n1"}, "n1"), ({"rawSelector": "spec.nodeName==n1"}, "n1"),
    ({"rawSelector": "spec.nodeName!=n1"}, ""), (None, ""),
    ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, "n1"),
    ({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n1"]}]}, ""),
])
def test_a_field_selector_may_leave_one_value(selector: dict[str, Any] | None, value: str) -> None:
    """Which is what a node's own pods are told by."""
    assert selected({"fieldSelector": selector}, "spec.nodeName") == value
