"""Quantities: 500m, 1Gi, 2e3, read exactly and written back in canonical form.

Invariant: `parse(canonical(q)) == parse(q)` up to Kubernetes' own rounding to nano-units.
Models:    k8s.io/apimachinery/pkg/api/resource
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

Quantity = str | int | float

FORMAT_ERROR = ("quantities must match the regular expression "
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
NUMERIC_ERROR = "unable to parse numeric part of quantity"
SUFFIX_ERROR = "unable to parse quantity's suffix"

_PATTERN = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{1,9}")
_MAX = (1 << 63) - 1
MOST_EXPONENT = 1000  # beyond it an amount is no amount of anything, and its digits would fill the memory


class Amount(NamedTuple):
    """What a text says: the exact amount, how it is written ("binary", "decimal", "exponent"), the text if it stays."""

    number: Fraction
    family: str
    text: str = ""
    finest: int | None = None  # the power of ten of its last digit, where that fits 64 bits


@lru_cache(maxsize=4096)
def _read(text: str) -> Amount:
    match = _PATTERN.fullmatch(text) if text else None
    if match is None:
        raise ValueError(FORMAT_ERROR)
    whole, fraction, suffix = (match[2] or "").lstrip("0") or "0", match[3] or match[4] or "", match[5]
    family, power = _suffix(suffix)
    number = Fraction(Decimal(f"{match[1]}{whole}.{fraction or 0}"))
    number *= Fraction(2) ** power if family == "binary" else Fraction(10) ** power
    if family == "binary":
        if not fraction and 15 - len(whole) - power * 3 // 10 - 1 >= 0:
            return Amount(number, family, text if int(whole) % 8 else "", 0)
    elif len(whole) + len(fraction) <= 18 and power - len(fraction) >= -9:
        digits, finest = whole + fraction, power - len(fraction)
        stays = finest % 3 == 0 and not digits.endswith("000") and digits[0] != "0"
        return Amount(number, family, text if stays else "", finest)
    if match[2] is None and not fraction:
        raise ValueError(NUMERIC_ERROR)
    nanos = number * 10**9
    if nanos.denominator != 1:  # finer than nano is rounded away from zero
        number = _away(nanos, 10**9)
    if family == "binary":
        number = max(min(number, Fraction(_MAX)), Fraction(-_MAX))
    return Amount(number, family)


def _suffix(suffix: str) -> tuple[str, int]:
    if suffix in _BINARY:
        return "binary", _BINARY[suffix]
    if suffix in _DECIMAL:
        return "decimal", _DECIMAL[suffix]
    if not _EXPONENT.fullmatch(suffix) or abs(int(suffix[1:])) > MOST_EXPONENT:
        raise ValueError(SUFFIX_ERROR)
    return "exponent", int(suffix[1:])


def _away(number: Fraction, unit: int) -> Fraction:
    """Round a number of parts, `unit` to one, away from zero."""
    return Fraction(_ceil(number) if number > 0 else -_ceil(-number), unit)


def _ceil(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _text(q: Quantity) -> str:
    return q if isinstance(q, str) else repr(q)


def parse(q: Quantity) -> Fraction:
    """Return the exact amount.

    Raises:
        ValueError: `q` is no quantity, in Kubernetes' words.
    """
    return _read(_text(q)).number


def is_quantity(q: object) -> bool:
    if isinstance(q, bool) or not isinstance(q, (str, int, float)):
        return False
    try:
        _read(_text(q))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _millis(text: str) -> int:
    return _ceil(_read(text).number * 1000)


@lru_cache(maxsize=4096)
def _value(text: str) -> int:
    return _ceil(_read(text).number)


def millis(q: Quantity) -> int:
    """Return thousandths, rounded up: the millicpu of a cpu quantity."""
    return _millis(_text(q))


def value(q: Quantity) -> int:
    """Return whole units, rounded up: the bytes of a memory quantity."""
    return _value(_text(q))


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    amount = _read(text)
    return _written(amount.number, amount.family)


def _written(number: Fraction, family: str) -> str:
    if number == 0:
        return "0"
    if family == "binary" and number.denominator == 1 and abs(number) >= 1024:
        return _scaled(int(number), 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    digits, power = _digits(number)
    if family == "exponent":
        return f"{digits}e{power}" if power else f"{digits}"
    while power > 18:  # there is no suffix beyond
        digits, power = digits * 1000, power - 3
    return f"{digits}{_SUFFIX[power]}"


def _digits(number: Fraction) -> tuple[int, int]:
    """Return whole digits and a power of ten divisible by three, of which the number is made."""
    power = 0
    while number.denominator != 1:
        number, power = number * 1000, power - 3
    digits = int(number)
    while digits % 1000 == 0:
        digits, power = digits // 1000, power + 3
    return digits, power


def _scaled(amount: int, base: int, suffixes: tuple[str, ...]) -> str:
    """Write `amount`, counted in the first suffix's unit, with the largest suffix that leaves it whole."""
    i = 0
    while amount % base == 0 and i < len(suffixes) - 1:
        amount //= base
        i += 1
    return f"{amount}{suffixes[i]}"


def canonical(q: Quantity) -> str:
    """Write a quantity in its shortest whole form: 1000m is 1, 0.5 is 500m, 1024Mi is 1Gi."""
    return _canonical(_text(q))


@lru_cache(maxsize=4096)
def kept(text: str) -> str:
    """Write a quantity as the API server gives it back: canonical, but for texts that look so (+5, 1.125e3, 007m)."""
    amount = _read(text)
    return amount.text or _written(amount.number, amount.family)


@lru_cache(maxsize=4096)
def listed(text: str) -> str:
    """Write a quantity as it stands in a list of resources: as `kept`, and no finer than a thousandth."""
    amount = _read(text)
    if amount.finest is not None and amount.finest >= -3:
        return kept(text)
    return _written(_away(amount.number * 1000, 1000), amount.family)


def format_cpu(millicpu: int) -> str:
    """Write millicpu as a quantity: 250m, 2."""
    return str(millicpu // 1000) if millicpu % 1000 == 0 else f"{millicpu}m"


def format_bytes(n: int) -> str:
    """Write bytes as a binary quantity: 64Mi, 1Gi, 1500."""
    return _canonical(f"{n}") if n < 1024 else _scaled(n, 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
