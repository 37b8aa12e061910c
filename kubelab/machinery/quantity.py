"""Quantities: 500m, 1Gi, 2e3, read exactly and written back in canonical form.

Invariant: `parse(canonical(q)) == parse(q)` up to Kubernetes' own rounding to nano-units.
Models:    k8s.io/apimachinery/pkg/api/resource
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

Quantity = str | int | float

FORMAT_ERROR = ("quantities must match the regular expression "
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")

_PATTERN = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+|)")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_MAX = (1 << 63) - 1


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[Fraction, str]:
    """Return the exact amount and the family it is written in: "binary", "decimal" or "exponent"."""
    match = _PATTERN.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise ValueError(FORMAT_ERROR)
    number = Fraction(Decimal(f"{match[1]}{match[2] or 0}.{match[3] or 0}"))
    suffix = match[4]
    if suffix in _BINARY:
        number, family = number * (1 << _BINARY[suffix]), "binary"
    elif suffix in _DECIMAL:
        number, family = number * Fraction(10) ** _DECIMAL[suffix], "decimal"
    else:
        if len(suffix) > 4:
            raise ValueError("unable to parse quantity's suffix")
        number, family = number * Fraction(10) ** int(suffix[1:]), "exponent"
    nanos = number * 10**9
    if nanos.denominator != 1:  # finer than nano is rounded away from zero
        number = Fraction(_ceil(nanos) if nanos > 0 else -_ceil(-nanos), 10**9)
    return max(min(number, Fraction(_MAX)), Fraction(-_MAX)), family


def _ceil(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _text(q: Quantity) -> str:
    return q if isinstance(q, str) else repr(q)


def parse(q: Quantity) -> Fraction:
    """Return the exact amount.

    Raises:
        ValueError: `q` is no quantity, in Kubernetes' words.
    """
    return _split(_text(q))[0]


def is_quantity(q: object) -> bool:
    if isinstance(q, bool) or not isinstance(q, (str, int, float)):
        return False
    try:
        _split(_text(q))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _millis(text: str) -> int:
    return _ceil(_split(text)[0] * 1000)


@lru_cache(maxsize=4096)
def _value(text: str) -> int:
    return _ceil(_split(text)[0])


def millis(q: Quantity) -> int:
    """Return thousandths, rounded up: the millicpu of a cpu quantity."""
    return _millis(_text(q))


def value(q: Quantity) -> int:
    """Return whole units, rounded up: the bytes of a memory quantity."""
    return _value(_text(q))


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    number, family = _split(text)
    if number == 0:
        return "0"
    whole = number.denominator == 1
    if family == "binary" and whole and abs(number) >= 1024:
        return _scaled(int(number), 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
    nanos = int(number * 10**9)
    if family == "exponent":
        return _scaled(nanos, 1000, ("e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"))
    return _scaled(nanos, 1000, ("n", "u", "m", "", "k", "M", "G", "T", "P", "E"))


def _scaled(amount: int, base: int, suffixes: tuple[str, ...]) -> str:
    """Write `amount`, counted in the first suffix's unit, with the largest suffix that leaves it whole."""
    i = 0
    while amount % base == 0 and i < len(suffixes) - 1:
        amount //= base
        i += 1
    return f"{amount}{suffixes[i]}"


def canonical(q: Quantity) -> str:
    """Write a quantity as the API server gives it back: 1000m is 1, 0.5 is 500m, 1024Mi is 1Gi."""
    return _canonical(_text(q))


def format_cpu(millicpu: int) -> str:
    """Write millicpu as a quantity: 250m, 2."""
    return str(millicpu // 1000) if millicpu % 1000 == 0 else f"{millicpu}m"


def format_bytes(n: int) -> str:
    """Write bytes as a binary quantity: 64Mi, 1Gi, 1500."""
    return _canonical(f"{n}") if n < 1024 else _scaled(n, 1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))
