r"""Regular expressions as Go reads them, which Kubernetes' patterns are written in, brought into Python's.

    ^[a-z]+$ ─► _Reader: a step a token ─► ^[a-z]+\Z        (?=a) ─► GoRegexError: invalid or unsupported Perl syntax

Invariant: what Go refuses is refused, in its words; what it takes matches the same texts here.
Models:    Go's regexp/syntax (RE2)
Left out:  the flag U; scripts of Unicode are told by the names of their letters
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

MOST_REPEATS = 1000
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<(?P<name>[^>]*)>|(?P<on>[imsU]*)(?P<off>-[imsU]+)?(?P<end>[:)]))")
_ESCAPE = re.compile(r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2}))")
_PROPERTY = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|([A-Za-z]))")
_POSIX = {"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f",
          "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~",
          "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f"}
_SHORT = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_LETTERS = {"a": r"\a", "f": r"\f", "n": r"\n", "r": r"\r", "t": r"\t", "v": r"\v"}


class GoRegexError(ValueError):
    """A pattern that is none; the text is Go's."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"error parsing regexp: {what}: `{where}`")


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a Go regular expression. Raises `GoRegexError`."""
    try:
        return re.compile(_Reader(pattern).translated())
    except re.error as error:
        raise GoRegexError(str(error), pattern) from None


class _Reader:
    """Goes through a pattern once and writes the same for Python."""

    def __init__(self, pattern: str) -> None:
        self.text, self.at, self.out = pattern, 0, list[str]()
        self.open: list[tuple[int, bool]] = []  # of each open group: how many brackets end with it, is `m` set outside
        self.scopes, self.lines = 0, False  # brackets that a flag opened in this group, is `m` set
        self.repeatable, self.repeat_at = False, -1

    def translated(self) -> str:
        while self.at < len(self.text):
            self._step(self.text[self.at])
        if self.open:
            raise GoRegexError("missing closing )", self.text)
        return "".join(self.out) + ")" * self.scopes

    def _put(self, text: str, width: int = 1, *, repeatable: bool = True) -> None:
        self.out.append(text)
        self.at += width
        self.repeatable, self.repeat_at = repeatable, -1

    def _step(self, letter: str) -> None:
        match letter:
            case "\\":
                self._escape()
            case "[":
                self._class()
            case "(":
                self._group()
            case ")":
                if not self.open:
                    raise GoRegexError("unexpected )", self.text)
                closing = ")" * (self.scopes + 1)
                self.scopes, self.lines = self.open.pop()
                self._put(closing)
            case "|":
                self._put("|", repeatable=False)
            case "*" | "+" | "?":
                self._repeat(letter)
            case "{" if match := _REPEAT.match(self.text, self.at):
                low, high = int(match[1]), int(match[3] or match[1])
                if low > MOST_REPEATS or high > MOST_REPEATS or high < low:
                    raise GoRegexError("invalid repeat count", match[0])
                self._repeat(match[0])
            case "$":
                self._put("$" if self.lines else r"\Z")
            case "{" | "}" | "]":
                self._put(f"\\{letter}")
            case _:
                self._put(letter)

    def _repeat(self, operator: str) -> None:
        if not self.repeatable:
            raise GoRegexError("missing argument to repetition operator", operator)
        end = self.at + len(operator)
        end += self.text[end:end + 1] == "?"
        if self.repeat_at >= 0:
            raise GoRegexError("invalid nested repetition operator", self.text[self.repeat_at:end])
        start = self.at
        self._put(self.text[start:end], end - start)
        self.repeat_at = start

    def _group(self) -> None:
        if not self.text.startswith("(?", self.at):
            self._enter("(", 1)
            return
        match = _GROUP.match(self.text, self.at)
        if match is None:
            raise GoRegexError("invalid or unsupported Perl syntax", self.text[self.at:self.at + 3])
        if match["name"] is not None:
            if not re.fullmatch(r"\w+", match["name"]):
                raise GoRegexError("invalid named capture", match[0])
            self._enter(f"(?P<{match['name']}>", len(match[0]))
            return
        on, off = match["on"].replace("U", ""), (match["off"] or "").replace("U", "").replace("-", "")
        head = f"(?{on}{'-' + off if off else ''}:"
        lines = ("m" in on or self.lines) and "m" not in off
        if match["end"] == ")":
            self.scopes += 1
            self._put(head, len(match[0]), repeatable=False)
        else:
            self._enter(head, len(match[0]))
        self.lines = lines

    def _enter(self, head: str, width: int) -> None:
        self.open.append((self.scopes, self.lines))
        self.scopes = 0
        self._put(head, width, repeatable=False)

    def _escape(self) -> None:
        letter = self.text[self.at + 1:self.at + 2]
        if letter == "Q":
            literal, _, _ = self.text[self.at + 2:].partition(r"\E")
            self._put(re.escape(literal), min(len(literal) + 4, len(self.text) - self.at))
        elif letter in ("A", "z", "b", "B", "C"):
            self._put({"z": r"\Z", "C": r"[\s\S]"}.get(letter, f"\\{letter}"), 2)
        elif letter.lower() in _SHORT and letter:
            self._put(f"[{'^' if letter.isupper() else ''}{_SHORT[letter.lower()]}]", 2)
        elif match := _PROPERTY.match(self.text, self.at):
            self._put(f"[{_property(match)}]", len(match[0]))
        else:
            self._put(*self._character())

    def _character(self) -> tuple[str, int]:
        """Return one character of the pattern, escaped for Python, and how long it is there."""
        letter = self.text[self.at]
        if letter != "\\":
            return re.escape(letter), 1
        if match := _ESCAPE.match(self.text, self.at):
            code = int(match[1] or match[2], 16) if match[1] or match[2] else int(match[3], 8)
            return re.escape(chr(code)), len(match[0])
        following = self.text[self.at + 1:self.at + 2]
        if not following:
            raise GoRegexError("trailing backslash at end of expression", "")
        if following in _LETTERS:
            return _LETTERS[following], 2
        if following.isascii() and not following.isalnum():
            return re.escape(following), 2
        raise GoRegexError("invalid escape sequence", f"\\{following}")

    def _class(self) -> None:
        start = self.at
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        first, parts = True, list[str]()
        while self.at < len(self.text) and (first or self.text[self.at] != "]"):
            parts.append(self._member())
            first = False
        if self.at >= len(self.text):
            raise GoRegexError("missing closing ]", self.text[start:])
        self._put(f"[{'^' if negated else ''}{''.join(parts)}]")

    def _member(self) -> str:
        """Return one member of a class: a named class, a range, a character."""
        start, rest = self.at, self.text[self.at:]
        if named := re.match(r"\[:(\^?)(\w*):\]", rest):
            if named[2] not in _POSIX:
                raise GoRegexError("invalid character class range", named[0])
            self.at += len(named[0])
            return _without(_POSIX[named[2]]) if named[1] else _POSIX[named[2]]
        if short := re.match(r"\\([dwsDWS])", rest):
            self.at += 2
            return _without(_SHORT[short[1].lower()]) if short[1].isupper() else _SHORT[short[1]]
        if match := _PROPERTY.match(self.text, self.at):
            self.at += len(match[0])
            return _property(match)
        low, width = self._character()
        self.at += width
        if self.text[self.at:self.at + 1] != "-" or self.text[self.at + 1:self.at + 2] in ("]", ""):
            return low
        self.at += 1
        high, width = self._character()
        self.at += width
        if _plain(low) > _plain(high):
            raise GoRegexError("invalid character class range", self.text[start:self.at])
        return f"{low}-{high}"


def _plain(escaped: str) -> str:
    return {r"\a": "\a", r"\f": "\f", r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\v": "\v"}.get(escaped, escaped[-1])


def _property(match: re.Match[str]) -> str:
    name = match[3] or match[4]
    ranges = _ranges(name)
    if not ranges:
        raise GoRegexError("invalid character class range", match[0])
    return _without(ranges) if (match[1] == "P") != (match[2] == "^") else ranges


@lru_cache(maxsize=64)
def _ranges(name: str) -> str:
    """Return the characters of a category (L, Lu) or a script (Greek) as ranges of a class, "" for none."""
    script = f"{name.upper()} "
    return _spelled(lambda c: unicodedata.category(c).startswith(name) if len(name) < 3
                    else unicodedata.name(c, "").startswith(script))


@lru_cache(maxsize=64)
def _without(ranges: str) -> str:
    """Return all other characters, as ranges."""
    inside = re.compile(f"[{ranges}]")
    return _spelled(lambda c: inside.match(c) is None)


def _spelled(holds) -> str:  # type: ignore[no-untyped-def]  # a predicate of one character
    found, since = list[str](), -1
    for code in range(sys.maxunicode + 2):
        if code <= sys.maxunicode and holds(chr(code)):
            since = code if since < 0 else since
        elif since >= 0:
            found.append(f"\\U{since:08x}-\\U{code - 1:08x}")
            since = -1
    return "".join(found)
