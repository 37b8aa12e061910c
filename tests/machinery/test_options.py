"""The options of a write are judged as the server's own rules judge them."""

from __future__ import annotations

import pytest

from kubelab.machinery.errors import FieldError
from kubelab.machinery.options import delete_errors, errors_of, manager_of

DRY = 'dryRun: Unsupported value: {}: supported values: "All"'
BOTH = 'propagationPolicy: Invalid value: "{}": orphanDependents and deletionPropagation cannot be both set'
POLICY = ('propagationPolicy: Unsupported value: "{}": supported values: "Foreground", "Background", "Orphan", "nil"')


def texts(errors: list[FieldError]) -> list[str]:
    return [str(error) for error in errors]


@pytest.mark.parametrize(("verb", "query", "wanted"), [
    ("create", {}, []),
    ("create", {"dryRun": ""}, [DRY.format('[""]')]),
    ("update", {"fieldManager": "é" * 65}, ["fieldManager: Too long: may not be more than 128 bytes"]),
    ("update", {"fieldManager": "é\t", "dryRun": "x", "fieldValidation": "y"}, [
        r'fieldManager: Invalid value: "é\t": invalid character U+0009 (at position 2)', DRY.format('["x"]'),
        'fieldValidation: Unsupported value: "y": supported values: "", "Ignore", "Strict", "Warn"']),
    ("patch", {"force": ""}, ["force: Forbidden: may not be specified for non-apply patch"])])
def test_what_is_wrong_with_a_query_is_told_in_order(verb: str, query: dict[str, str], wanted: list[str]) -> None:
    """All at once: manager, dry run, validation; an empty parameter is a given one."""
    assert texts(errors_of(verb, query)) == wanted


def test_a_client_that_names_no_manager_is_its_program() -> None:
    """The user agent up to the first slash, without what cannot be printed, in at most 128 bytes."""
    assert manager_of("kubectl/v1.36 (linux)") == "kubectl"
    assert (manager_of("a\tb/1"), manager_of("/1"), len(manager_of("é" * 65).encode())) == ("ab", "unknown", 128)


def test_an_apply_needs_a_manager_and_may_force() -> None:
    """The other way round than with the other patches."""
    assert texts(errors_of("patch", {"force": "true"}, applies=True)) == [
        "fieldManager: Required value: is required for apply patch"]


@pytest.mark.parametrize(("options", "wanted"), [
    ({"propagationPolicy": ""}, [POLICY.format("")]),
    ({"propagationPolicy": "X", "orphanDependents": False, "dryRun": ["All", "x"]},
     [BOTH.format("X"), POLICY.format("X"), DRY.format('["All","x"]')]),
    ({"propagationPolicy": "Orphan", "gracePeriodSeconds": -1, "dryRun": ["All", "All"]}, [])])
def test_delete_options_are_judged(options: dict[str, object], wanted: list[str]) -> None:
    """A policy that contradicts orphanDependents, one that is none, another dry run than of all."""
    assert texts(delete_errors(options)) == wanted
