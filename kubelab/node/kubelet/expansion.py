"""$(VAR) in commands, arguments and environment values, by Kubernetes' rule.

    $(NAME) -> the value    $$(NAME) -> $(NAME)    $(UNKNOWN) -> $(UNKNOWN)

Models:    third_party/forked/golang/expansion
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$|\([^)]*\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace every reference that `variables` knows; what they do not know stays as it is."""

    def value(match: re.Match[str]) -> str:
        inner = match[1]
        if inner == "$":
            return "$"
        return variables.get(inner[1:-1], match[0])

    return _REFERENCE.sub(value, text) if "$" in text else text
