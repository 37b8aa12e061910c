"""IntOrString: a count, or a percentage of a total, as maxSurge and maxUnavailable are written.

Models: k8s.io/apimachinery/pkg/util/intstr
"""

from __future__ import annotations

import re

_PERCENT = re.compile(r"[0-9]+%")


def is_percent(value: object) -> bool:
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def resolve(value: int | str | None, total: int, round_up: bool) -> int:
    """Return the count that `value` means out of `total`.

    Raises:
        ValueError: a string that is not a percentage, in Kubernetes' words.
    """
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if not is_percent(value):
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {value!r}")
    scaled = int(value[:-1]) * total
    return -(-scaled // 100) if round_up else scaled // 100
