from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.machinery import quantity


@pytest.mark.parametrize(("given_as", "canonical"), [
    ("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1500Mi", "1500Mi"), ("100Mi", "100Mi"),
    ("2e3", "2e3"), (1, "1"), (0.1, "100m"), ("0", "0"), ("1000", "1k"), ("128974848", "128974848"), ("-5", "-5"),
    ("0.1Gi", "107374182400m")])
def test_the_api_gives_quantities_back_in_canonical_form(given_as: str | float, canonical: str) -> None:
    """The largest suffix that needs no fraction is chosen, within the family the writer used."""
    assert quantity.canonical(given_as) == canonical


@given(st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|Ki|Mi|Gi|e[0-3])?", fullmatch=True))
def test_canonical_form_keeps_the_amount(text: str) -> None:
    """Writing a quantity canonically changes its spelling, never its amount, and doing it twice changes nothing."""
    once = quantity.canonical(text)
    assert quantity.parse(once) == quantity.parse(text)
    assert quantity.canonical(once) == once


def test_counts_are_rounded_up() -> None:
    """Half a byte takes a byte, a fraction of a millicpu takes one."""
    assert (quantity.value("1500m"), quantity.millis("100u"), quantity.millis("2")) == (2, 1, 2000)
    assert quantity.parse("1n") == Fraction(1, 10**9) == quantity.parse("0.0000000001")


@pytest.mark.parametrize(("text", "kept", "listed"), [
    ("1000m", "1", "1"), ("+5", "+5", "+5"), ("007m", "007m", "007m"), ("1.125e3", "1.125e3", "1.125e3"),
    ("5E3", "5E3", "5E3"), ("10.100M", "10.100M", "10.100M"), ("0.5M", "500k", "500k"), ("1024Mi", "1Gi", "1Gi"),
    ("1536Mi", "1536Mi", "1536Mi"), ("1025Ki", "1025Ki", "1025Ki"), ("+1025Ki", "+1025Ki", "+1025Ki"),
    ("100u", "100u", "1m"), ("0.0001", "100u", "1m"), ("-100u", "-100u", "-1m"), ("1000P", "1E", "1E"),
    ("1e100", "10e99", "10e99"), ("99999999999999999999", "99999999999999999999", "99999999999999999999"),
    ("16Ei", "9223372036854775807", "9223372036854775807"), ("Gi", "0", "0"), (".", "0", "0")])
def test_what_looks_canonical_is_given_back_as_it_came(text: str, kept: str, listed: str) -> None:
    """Found with Go's library: it keeps such texts; lists of resources know nothing finer than a thousandth."""
    assert (quantity.kept(text), quantity.listed(text)) == (kept, listed)


@pytest.mark.parametrize(("bad", "why"), [
    ("", quantity.FORMAT_ERROR), ("x", quantity.FORMAT_ERROR), ("1x", quantity.FORMAT_ERROR),
    ("1 Gi", quantity.FORMAT_ERROR), ("1.2.3", quantity.FORMAT_ERROR), ("--1", quantity.SUFFIX_ERROR),
    ("1kk", quantity.SUFFIX_ERROR), ("1e", quantity.SUFFIX_ERROR), ("1e999999999", quantity.SUFFIX_ERROR),
    ("Ei", quantity.NUMERIC_ERROR), ("e-12", quantity.NUMERIC_ERROR)])
def test_what_is_no_quantity_is_refused(bad: str, why: str) -> None:
    """The message is the one of Kubernetes."""
    assert not quantity.is_quantity(bad)
    with pytest.raises(ValueError) as refused:
        quantity.parse(bad)
    assert str(refused.value) == why


def test_numbers_become_quantities() -> None:
    """Millicpu and bytes are written as one would."""
    assert [quantity.format_cpu(n) for n in (250, 2000)] == ["250m", "2"]
    assert [quantity.format_bytes(n) for n in (1500, 64 << 20, 1 << 30)] == ["1500", "64Mi", "1Gi"]
