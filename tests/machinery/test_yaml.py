from __future__ import annotations

import pytest

from kubelab.machinery import yaml
from kubelab.machinery.errors import ApiError


def test_documents_lists_and_json_all_become_objects() -> None:
    """Several documents, empty ones between them, a List, and JSON are read alike."""
    text = 'a: 1\n---\n---\n# nothing\n---\nkind: List\nitems: [{b: 2}, {c: 3}]\n---\n{"d": 4}'
    assert yaml.load_all(text) == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]


@pytest.mark.parametrize(("text", "value"), [
    ("yes", True), ("y", True), ("off", False), ("010", 8), ("0x1F", 31), ("0b11", 3), ("1_000", 1000), ("08", 8.0),
    ("1e3", 1000.0), (".5", 0.5), ("2020-01-01", "2020-01-01"), ("1:20", "1:20"), ("1.2.3", "1.2.3"), ("~", None),
    ("'1'", "1"), ("=", "="), ("-5", -5), ("5Gi", "5Gi")])
def test_plain_scalars_mean_what_kubectl_takes_them_for(text: str, value: object) -> None:
    """YAML 1.1, without dates and base-60 numbers."""
    [obj] = yaml.load_all(f"x: {text}")
    assert obj["x"] == value and type(obj["x"]) is type(value)


@pytest.mark.parametrize(("text", "message"), [
    ("a: 1\nb: 2\na: 3", 'yaml: line 3: key "a" already set in map'),
    ("a: b: c", "yaml: mapping values are not allowed in this context"),
    ("x: 1\na: b: c", "yaml: line 2: mapping values are not allowed in this context"),
    ("a: &x [*x]", "exceeded max depth"),
    ("[" * 3000 + "]" * 3000, "exceeded max depth"),
    ("- 1", "a document of the YAML is a list"),
    ("a: .nan", "is no JSON number"),
    ("? [a]\n: b", "invalid map key")])
def test_bad_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    """A 400 that says where and why."""
    with pytest.raises(ApiError) as refused:
        yaml.load_all(text)
    assert refused.value.code == 400 and message in refused.value.message


def test_aliases_do_not_unfold_without_end() -> None:
    """A few lines that stand for a billion elements are refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ApiError, match="excessive aliasing"):
        yaml.load_all("\n".join(lines))


def test_keys_are_strings_and_merge_keys_work() -> None:
    """Numbers and booleans as keys become JSON keys; << copies a map."""
    assert yaml.load_all("{1: a, on: b, base: &b {c: d}, copy: {<<: *b, e: f}}") == [
        {"1": "a", "true": "b", "base": {"c": "d"}, "copy": {"c": "d", "e": "f"}}]


def test_what_is_written_can_be_read() -> None:
    """Dumping and loading gives the same object, awkward strings included."""
    obj = {"a": "010", "b": ["yes", 1, None, True, "x: y"], "c": {"d": "l1\nl2\n", "e": "1:20", "f": "y"}}
    assert yaml.load_all(yaml.dump(obj)) == [obj]
