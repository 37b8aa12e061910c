"""Transactions in words."""

from __future__ import annotations

import pytest

from kubelab.control_plane.etcd.api import Compare, DeleteRange, Put, Range
from kubelab.facade.etcd.text import compare, operation


@pytest.mark.parametrize(("words", "meant"), [
    ('mod("/a b") = 0', Compare(b"/a b", "mod", "=", 0)),
    ("mod(/a) > 7", Compare(b"/a", "mod", ">", 7)),
    ('ver("/a") != "3"', Compare(b"/a", "version", "!=", 3)),
    ('val("/a") = "7"', Compare(b"/a", "value", "=", b"7")),
    (("value", "/a", "<", {"x": 1}), Compare(b"/a", "value", "<", b'{"x":1}')),
    (("create", "/a", "=", 5), Compare(b"/a", "create", "=", 5)),
    (Compare(b"/a", "lease", "=", 0), Compare(b"/a", "lease", "=", 0)),
])
def test_compares(words: object, meant: Compare) -> None:
    """etcdctl's spelling, a tuple, or the store's own."""
    assert compare(words) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "meant"), [
    ("put /a b", Put(b"/a", b"b")),
    ("put /a 'b c'", Put(b"/a", b"b c")),
    (("put", "/a", {"x": [1]}), Put(b"/a", b'{"x":[1]}')),
    ("get /a", Range(b"/a")),
    ("get --prefix /a", Range(b"/a", b"/b")),
    ("del /a --prefix", DeleteRange(b"/a", b"/b")),
    (("put", "/a", b"--prefix"), Put(b"/a", b"--prefix")),
])
def test_operations(words: object, meant: object) -> None:
    """put, del and get, as words or as a tuple."""
    assert operation(words) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize("words", ["mod(/a) == 0", "size(/a) = 0", ("mod", "/a"), "", ("mod", "/a", "~", 0)])
def test_a_compare_that_cannot_be_read_shows_how_to_write_it(words: object) -> None:
    """The message holds an example."""
    with pytest.raises(ValueError, match='mod\\("/demo/lock"\\) = 0'):
        compare(words)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", ["put /a", "put /a b c", "move /a", "", "get", "put /a b --prefix"])
def test_an_operation_that_cannot_be_read_shows_how_to_write_it(words: str) -> None:
    """The message names those there are."""
    with pytest.raises(ValueError, match="put KEY VALUE"):
        operation(words)


def test_a_number_is_a_number() -> None:
    """Only value(...) takes a text."""
    with pytest.raises(ValueError, match="only value"):
        compare('mod("/a") = soon')
