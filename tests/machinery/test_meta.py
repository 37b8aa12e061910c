from __future__ import annotations

import pytest

from kubelab.machinery import meta


def test_a_key_names_an_object_within_its_kind() -> None:
    """Keys carry the namespace where there is one, and come apart again."""
    assert meta.key_of({"metadata": {"name": "a", "namespace": "n"}}) == "n/a"
    assert meta.key_of({"metadata": {"name": "a"}}) == "a"
    assert (meta.split_key("n/a"), meta.split_key("a")) == (("n", "a"), ("", "a"))


def test_the_controller_is_the_owner_marked_as_such() -> None:
    """Of several owners only the controller is returned."""
    owner = {"metadata": {"name": "rs", "uid": "u"}}
    refs = [meta.owner_reference(owner, "X", "v1", controller=False),
            meta.owner_reference(owner, "ReplicaSet", "apps/v1")]
    assert meta.controller_of({"metadata": {"ownerReferences": refs}}) == refs[1]
    assert meta.controller_of({"metadata": {}}) is None


def test_a_condition_changes_its_time_only_with_its_status() -> None:
    """A new message keeps lastTransitionTime, a new status moves it, the same condition is no change."""
    conditions: list[dict[str, str]] = []
    assert meta.set_condition(conditions, {"type": "Ready", "status": "False", "message": "a"}, 0)
    assert meta.set_condition(conditions, {"type": "Ready", "status": "False", "message": "b"}, 60)
    assert conditions[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert not meta.set_condition(conditions, {"type": "Ready", "status": "False", "message": "b"}, 90)
    assert meta.set_condition(conditions, {"type": "Ready", "status": "True", "message": "b"}, 120)
    assert conditions == [{"type": "Ready", "status": "True", "message": "b",
                           "lastTransitionTime": "1970-01-01T00:02:00Z"}]


def test_equal_templates_have_equal_hashes() -> None:
    """The order of keys does not count, every value does, and the hash is spelt in the safe alphabet."""
    a, b = meta.hash_of({"x": 1, "y": [1, 2]}), meta.hash_of({"y": [1, 2], "x": 1})
    assert a == b != meta.hash_of({"x": 1, "y": [2, 1]})
    assert set(a) <= set(meta.SAFE_ALPHABET) and len(a) <= 10


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0s"), (119, "119s"), (120, "2m"), (200, "3m20s"), (600, "10m"), (10_800, "3h"), (12_000, "3h20m"),
    (36_000, "10h"), (183_600, "2d3h"), (864_000, "10d"), (34_560_000, "400d"), (86_400 * 800, "2y70d"),
    (-5, "<invalid>")])
def test_ages_are_written_as_kubectl_does(seconds: float, text: str) -> None:
    """The longer ago, the coarser."""
    assert meta.age(seconds) == text


def test_a_copy_shares_nothing() -> None:
    """Changing a copy leaves the original alone."""
    obj = {"metadata": {"name": "a"}, "spec": {"list": [{"x": 1}]}}
    copy = meta.copy_obj(obj)
    copy["spec"]["list"][0]["x"] = 2
    assert obj["spec"] == {"list": [{"x": 1}]}


def test_a_condition_takes_the_place_of_its_type() -> None:
    """The status is new, the others stay, and the object is as it was."""
    a, b, new = ({"type": "A", "status": "True"}, {"type": "B", "status": "True"}, {"type": "A", "status": "False"})
    obj = {"status": {"phase": "Running", "conditions": [a, b]}}
    assert meta.with_condition(obj, new) == {"phase": "Running", "conditions": [b, new]}
    assert obj == {"status": {"phase": "Running", "conditions": [a, b]}}
    assert meta.with_condition({}, {"type": "A"}) == {"conditions": [{"type": "A"}]}
