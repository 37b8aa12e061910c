"""The simple JSONPath of printer columns and selectable fields."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery import jsonpath

VALUE: dict[str, Any] = {"a": {"b.c": 1, "l": [1, 2, 3]}, "c": [{"t": "R", "s": "yes", "n": 2}, {"t": "Q", "n": 5}]}


@pytest.mark.parametrize(("path", "found"), [
    (".a.l", [[1, 2, 3]]), ("a.l[0]", [1]), (".a.l[-1]", [3]), (".a.l[9]", []), (".a.l[*]", [1, 2, 3]),
    (r".a.b\.c", [1]), (".a['b.c']", [1]), ("{.a.l[1]}", [2]), (".nope.deeper", []),
    ('.c[?(@.t=="R")].s', ["yes"]), (".c[?(@.n>2)].t", ["Q"]), (".c[?(@.s)].t", ["R"]), ('.c[?(@.t!="R")].n', [5]),
])
def test_a_path_finds(path: str, found: list[Any]) -> None:
    """Names, escaped dots, indexes, wildcards and filters."""
    assert jsonpath.find(path, VALUE) == found


@pytest.mark.parametrize("path", [".a..b", ".a[", ".a{b}", ".a[?(@.x ~ 1)]", ".a b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """An error says where reading stopped."""
    with pytest.raises(jsonpath.PathError, match="unrecognized character"):
        jsonpath.compiled(path)


def test_the_names_of_a_plain_path() -> None:
    """A path of names only is given as these; any other is none."""
    assert jsonpath.names(r".spec.a\.b") == ["spec", "a.b"]
    assert jsonpath.names(".spec.l[0]") is None
