"""Functions that cel-cpp has of its own, wrong or for strings alone; ours of the same name stand in for them.

    "s.indexOf('a')" ─► under_our_names ─► "s.ind_xOf('a')" ─► cel-cpp ─► what it says of it ─► as_written

cel-cpp declares a function once, so ours need names of their own; they are as long, so that places in errors hold.
"""

from __future__ import annotations

import re

OURS = {"substring": "subst_ing", "indexOf": "ind_xOf", "lastIndexOf": "lastInd_xOf"}
_BACK = {ours: name for name, ours in OURS.items()}
_CALLED = re.compile(rf"""[rR]?(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\.(?:{'|'.join(OURS)})(?=\s*\()""")
_ANY = re.compile(rf"\b(?:{'|'.join(_BACK)})\b")


def under_our_names(expression: str) -> str:
    """Return an expression that calls our functions, whatever stands in its texts."""
    return _CALLED.sub(lambda found: f".{OURS[found[0][1:]]}" if found[0][0] == "." else found[0], expression)


def as_written(text: str) -> str:
    """Return a name, or what is said of an expression, with the names that people know."""
    return _ANY.sub(lambda found: _BACK[found[0]], text)
