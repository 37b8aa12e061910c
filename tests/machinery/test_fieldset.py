from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubelab.machinery import schema
from kubelab.machinery.fieldset import compare, difference, intersection, paths, to_fieldset, union, whole

PATHS = st.sets(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}']), min_size=1, max_size=3).map(tuple), max_size=6)


def tree(members: set[tuple[str, ...]]) -> dict[str, Any]:
    """Build a set in its wire form, the plain way."""
    out: dict[str, Any] = {}
    for path in members:
        at = out
        for step in path:
            at = at.setdefault(step, {})
        at["."] = {}
    return _bare(out)


def _bare(node: dict[str, Any]) -> dict[str, Any]:
    return {k: {} if v == {".": {}} else _bare(v) for k, v in node.items()}


@given(PATHS, PATHS)
def test_sets_in_wire_form_are_sets(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> None:
    """Union, difference and intersection of the trees are those of the sets of paths they stand for."""
    assert union(tree(a), tree(b)) == tree(a | b)
    assert difference(tree(a), tree(b)) == tree(a - b)
    assert intersection(tree(a), tree(b)) == tree(a & b)


def test_taking_away_nothing_returns_the_very_set() -> None:
    """So a write that leaves a manager's fields alone leaves its entry alone."""
    a = tree({("f:a", "f:b")})
    assert difference(a, tree({("f:a", "f:a")})) is a


def test_paths_are_named_as_conflicts_name_them() -> None:
    """Fields by dots, elements by their keys or values; members first."""
    fields = {"f:spec": {"f:l": {'v:"x"': {}, 'k:{"p":80,"q":"TCP"}': {".": {}, "f:n": {}}}, "f:z": {}}}
    assert list(paths(fields)) == [".spec.z", '.spec.l[p=80,q="TCP"]', '.spec.l[="x"]', '.spec.l[p=80,q="TCP"].n']


def test_a_comparison_tells_leaves_apart_from_the_maps_around_them() -> None:
    """Changed leaves, whole new elements with all that is in them, and what is gone."""
    node = schema.compiled("v1", "Pod")
    assert node is not None
    old = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "gone", "image": "2"}]}}
    new = {"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "new", "resources": {}, "command": ["x"]}]}}
    changed: dict[str, Any] = {}
    removed: dict[str, Any] = {}
    compare(node, old, new, changed, removed)
    assert changed == {"f:spec": {"f:containers": {
        'k:{"name":"a"}': {"f:image": {}},
        'k:{"name":"new"}': {".": {}, "f:name": {}, "f:resources": {}, "f:command": {}}}}}
    assert removed == {"f:spec": {"f:containers": {'k:{"name":"gone"}': {".": {}, "f:name": {}, "f:image": {}}}}}


def test_what_is_applied_owns_leaves_and_elements_but_not_the_maps_on_the_way() -> None:
    """The set of an applied object has no "." for the struct fields it passes, the set of a new value has."""
    node = schema.compiled("v1", "Pod")
    assert node is not None
    obj = {"metadata": {"labels": {"a": "b"}},
           "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}}
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    assert to_fieldset(node, obj) == {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:ports": {
            port: {".": {}, "f:containerPort": {}}}}}}}
    assert whole(node, obj)["f:metadata"] == {".": {}, "f:labels": {".": {}, "f:a": {}}}
