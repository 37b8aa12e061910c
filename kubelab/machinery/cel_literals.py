"""Object literals of mutating policies: `Object.spec{replicas: 3}` is written as the map {"replicas": 3}.

Kubernetes gives CEL a type for every field of every kind; cel-cpp here knows maps alone, so a literal that names a type
loses the name, and its fields become strings. `JSONPatch{op: "add", ...}` likewise.

Invariant: strings and everything outside such literals stay as they are.
Models:    k8s.io/apiserver/pkg/cel/mutation
Left out:  refusing fields that the type does not have when the policy is written; the outcome is checked instead
"""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r'''
    (?P<string> [rRbB]{0,2} (?: """(?:\\.|[^\\])*?""" | \'\'\'(?:\\.|[^\\])*?\'\'\'
                                | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'))
  | (?P<type> (?<![\w.]) (?: Object (?:\.\w+)* | JSONPatch) \s* (?=\{))
  | (?P<field> (?<![\w.]) [A-Za-z_]\w* (?=\s*:(?!:)))
  | (?P<word> [A-Za-z_]\w*)
  | (?P<space> \s+ | //[^\n]*)
  | (?P<other> .)''', re.VERBOSE | re.DOTALL)


@lru_cache(maxsize=1024)
def as_maps(expression: str) -> str:
    """Return the expression with its object literals as maps."""
    out: list[str] = []
    open_: list[str] = []  # of each bracket that is open: "struct" or what closes it
    typed, before = False, ""
    for match in _TOKEN.finditer(expression):
        kind, text = str(match.lastgroup), match[0]
        if kind == "type":
            typed = True
            continue
        if kind == "field" and open_ and open_[-1] == "struct" and before in ("{", ",", "?"):
            text = f'"{text}"'
        elif text in "{[(" and kind == "other":
            open_.append("struct" if typed else text)
            typed = False
        elif text in "}])" and kind == "other" and open_:
            open_.pop()
        if kind != "space":
            before = text
        out.append(text)
    return "".join(out)
