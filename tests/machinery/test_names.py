from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubelab.machinery import names


@dataclass(frozen=True)
class Naming:
    namespaced: bool = True
    validate_name: str = "subdomain"
    any_finalizer: bool = False


def said(meta: dict[str, object], kind: Naming | None = None) -> list[str]:
    return [str(e) for e in names.validate_object_meta(meta, kind or Naming())]


def test_good_metadata_passes() -> None:
    """Nothing is wrong with ordinary names, labels, annotations and finalizers."""
    assert said({"name": "web-1.x", "namespace": "default", "labels": {"app.kubernetes.io/name": "web", "a": ""},
                 "annotations": {"Example.com/Note": "any ✓ text"}, "finalizers": ["kubernetes", "a.b/c"]}) == []


@pytest.mark.parametrize(("rule", "bad", "end"), [
    ("subdomain", "Bad_Name", "a lowercase RFC 1123 subdomain must consist of"),
    ("subdomain", "x" * 254, "must be no more than 253 characters"),
    ("label", "a.b", "must not contain dots"),
    ("label", "-a", "a lowercase RFC 1123 label must consist of"),
    ("label1035", "1a", "a DNS-1035 label must consist of"),
    ("path", "a/b", "may not contain '/'")])
def test_each_rule_says_what_is_wrong_with_a_name(rule: str, bad: str, end: str) -> None:
    """A bad name is refused in the words of its rule."""
    [error] = said({"name": bad, "namespace": "d"}, Naming(validate_name=rule))
    assert error.startswith(f'metadata.name: Invalid value: "{bad}": {end}')


def test_every_fault_is_listed() -> None:
    """Faults in labels, owners and finalizers come together, in the order of the fields."""
    errors = said({"generateName": "x-", "namespace": "d", "labels": {"a b": "-"}, "ownerReferences": [{"kind": "A"}],
                   "finalizers": ["x"]})
    assert [e.split(": ")[0] for e in errors] == [
        "metadata.name", "metadata.labels", "metadata.labels", "metadata.ownerReferences.apiVersion",
        "metadata.ownerReferences.name", "metadata.ownerReferences.uid", "metadata.finalizers[0]"]


def test_scope_decides_about_the_namespace() -> None:
    """A namespaced kind needs a namespace, a kind of cluster scope must not have one."""
    assert said({"name": "a"}) == ["metadata.namespace: Required value"]
    assert said({"name": "a", "namespace": "b"}, Naming(namespaced=False)) == [
        "metadata.namespace: Forbidden: not allowed on this type"]
