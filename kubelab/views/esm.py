"""One ES module of several: a widget loads a single text, and there is no bundler.

    cluster_view.js ─ import { h } from "./dom.js" ─► dom.js, words.js, ..., cluster_view.js in one text

Invariant: what is joined says the same as what was imported: every name is declared once, dependencies stand first.
Left out:  renaming; two modules of one view may not declare the same name
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function|class) )", re.MULTILINE)


def esm(name: str) -> str:
    """Return the module `name` of the static folder with the modules that it imports in front of it."""
    parts: dict[str, str] = {}
    _collect(name, parts)
    own = parts.pop(name)
    return "".join([*(_EXPORT.sub("", text) for text in parts.values()), own])


def _collect(name: str, parts: dict[str, str]) -> None:
    """Add a module to `parts` behind those that it needs."""
    if name in parts:
        return
    text = (STATIC / name).read_text()
    for needed in _IMPORT.findall(text):
        _collect(needed, parts)
    parts[name] = _IMPORT.sub("", text)
