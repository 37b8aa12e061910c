"""Where a text stops being base64, as Go's decoder finds it: by quanta of four characters.

Models:    encoding/base64, the strict decoding of StdEncoding and RawURLEncoding
"""

from __future__ import annotations

import re
import string

_LETTERS = string.ascii_letters + string.digits
_WHOLE = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def base64_error(text: str, *, padded: bool = True, symbols: str = "+/") -> str | None:
    """Say what is wrong with base64, None for nothing: `padded` with = to a multiple of four, or without."""
    if padded and symbols == "+/" and _WHOLE.fullmatch(text):
        return None
    at = _wrong_at(text, _LETTERS + symbols, padded=padded)
    return None if at is None else f"illegal base64 data at input byte {at}"


def _wrong_at(text: str, alphabet: str, *, padded: bool) -> int | None:
    at = in_quantum = 0
    while at < len(text):
        char, at = text[at], at + 1
        if char in alphabet:
            in_quantum = (in_quantum + 1) % 4
        elif char not in "\r\n":
            return _wrong_end(text, at, in_quantum) if padded and char == "=" else at - 1
    if in_quantum == 0 or (in_quantum > 1 and not padded):
        return None
    return at - in_quantum


def _wrong_end(text: str, at: int, in_quantum: int) -> int | None:
    """Judge what follows the first = of a text, which stands before `at`."""
    if in_quantum < 2:
        return at - 1
    at = _after_breaks(text, at)
    if in_quantum == 2:
        if at == len(text) or text[at] != "=":
            return at if at == len(text) else at - 1
        at = _after_breaks(text, at + 1)
    return at if at < len(text) else None


def _after_breaks(text: str, at: int) -> int:
    while at < len(text) and text[at] in "\r\n":
        at += 1
    return at
