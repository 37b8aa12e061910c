"""Base64 is refused where Go's decoder stops."""

from __future__ import annotations

import pytest

from kubelab.machinery.base64_check import base64_error


@pytest.mark.parametrize(("text", "at"), [
    ("", None), ("YQ==", None), ("YW\nI=", None), ("YQ=\n=\n", None), ("x", 0), ("abcde", 4), ("abc", 0), ("ab!d", 2),
    ("YQ=", 3), ("YQ=x", 2), ("YQ==x", 4), ("=", 0), ("a===", 1), ("YWI=YWI=", 4), ("not base64", 3), ("é", 0)])
def test_the_first_byte_that_does_not_fit_is_named(text: str, at: int | None) -> None:
    """An illegal character, a quantum that ends too early, padding that is not at the end."""
    assert base64_error(text) == (None if at is None else f"illegal base64 data at input byte {at}")


@pytest.mark.parametrize(("text", "at"), [("YQ", None), ("YWI", None), ("x", 0), ("YQ=", 2), ("a-_b", None), ("a+", 1)])
def test_tokens_have_no_padding_and_signs_of_their_own(text: str, at: int | None) -> None:
    """The alphabet of URLs, and no = in it."""
    assert base64_error(text, padded=False, symbols="-_") == (
        None if at is None else f"illegal base64 data at input byte {at}")
