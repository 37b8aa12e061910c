"""Label selectors and field selectors: parsed once, matched often.

    "app=web,tier in (a,b),!old" ─► parse_label_selector ─┐
    {matchLabels, matchExpressions} ─► from_label_selector ┴─► Selector.matches(labels)
    "spec.nodeName=n1,status.phase!=Failed" ─► parse_field_selector ─► FieldSelector.matches(fields)

Models: k8s.io/apimachinery/pkg/labels and pkg/fields, error texts included
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kubelab.machinery.errors import bad_request, shown
from kubelab.machinery.names import label_value_errors, qualified_name_errors
from kubelab.machinery.request import Obj

_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is one of in, notin, =, ==, !=, exists, !, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return found is not None and found in self.values
            case "notin" | "!=":
                return found is None or found not in self.values
            case "exists":
                return found is not None
            case "!":
                return found is None
            case _:
                return found is not None and self._compares(found)

    def _compares(self, found: str) -> bool:
        if not re.fullmatch(r"[+-]?[0-9]+", found):
            return False
        return int(found) > int(self.values[0]) if self.operator == "gt" else int(found) < int(self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


class Selector:
    """All requirements hold. `exact` are the plain equalities among them, for use as an index key."""

    __slots__ = ("_others", "exact", "nothing", "requirements")

    def __init__(self, requirements: Sequence[Requirement] = (), nothing: bool = False) -> None:
        self.requirements = tuple(requirements)
        self.nothing = nothing
        self.exact: dict[str, str] = {}
        others: list[Requirement] = []
        for r in self.requirements:
            if len(r.values) == 1 and r.operator in ("=", "==", "in") and r.key not in self.exact:
                self.exact[r.key] = r.values[0]
            else:
                others.append(r)
        self._others = tuple(others)

    @property
    def empty(self) -> bool:
        """Return whether this selects everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        if not self.requirements:
            return True
        if not labels:
            labels = {}
        for key, value in self.exact.items():
            if labels.get(key) != value:
                return False
        return all(r.matches(labels) for r in self._others)

    def __str__(self) -> str:
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))

    def __repr__(self) -> str:
        return f"Selector({str(self)!r})"


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _required(key: str, operator: str, values: Sequence[str], path: str = "") -> Requirement:
    """Check one requirement as labels.NewRequirement does. Raises: BadRequest, with all that is wrong with it."""
    wrong = _key_errors(key, path)
    if operator in ("gt", "lt") and not _is_integer(values[0]):
        wrong.append(f"values[0]: Invalid value: {shown(values[0])}: for 'Gt', 'Lt' operators, the value must be an "
                     "integer")
    wrong += [f"values[{i}][{key}]: Invalid value: {shown(value)}: {errors}"
              for i, value in enumerate(values) if (errors := "; ".join(label_value_errors(value)))]
    _raise(wrong)
    return Requirement(key, operator, tuple(values))


def _key_errors(key: str, path: str = "") -> list[str]:
    errors = "; ".join(qualified_name_errors(key))
    return [f"{path or '<nil>'}: Invalid value: {shown(key)}: {errors}"] if errors else []


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None and -(1 << 63) <= int(text) < 1 << 63


def _raise(wrong: Sequence[str]) -> None:
    """Raise BadRequest for what is wrong with a requirement, if anything is."""
    if wrong:
        raise bad_request("unable to parse requirement: " + (wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"))


_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|>|<|[^\s=!(),<>]+|$)")


class _Parser:
    """A reader of tokens; the literal of the end is the empty string."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = [t for t in _TOKEN.findall(text) if t] + [""]
        self.at = 0

    @property
    def next(self) -> str:
        return self.tokens[self.at]

    def take(self) -> str:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    @staticmethod
    def is_word(token: str) -> bool:
        return bool(token) and token[0] not in "=!(),<>"

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self.next:
            if not self.is_word(self.next) and self.next != "!":
                raise bad_request(f"found '{self.next}', expected: !, identifier, or 'end of string'")
            found.append(self.requirement())
            ended = self.take()
            if not ended:
                break
            if ended != ",":
                raise bad_request(f"found '{ended}', expected: ',' or 'end of string'")
            if not self.is_word(self.next) and self.next != "!":
                raise bad_request(f"found '{self.next}', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        negated = self.next == "!" and bool(self.take())
        key = self.take()
        if not self.is_word(key):
            raise self.bad(f"found '{key}', expected: identifier")
        _raise(_key_errors(key))
        if negated or self.next in ("", ","):
            return _required(key, "!" if negated else "exists", ())
        operator = {">": "gt", "<": "lt"}.get(token := self.take(), token)
        if operator not in _OPERATORS:
            raise self.bad(f"found '{token}', expected: {', '.join(_OPERATORS)}")
        values = self.value_set() if operator in ("in", "notin") else [self.exact_value()]
        return _required(key, operator, sorted(set(values)))

    def exact_value(self) -> str:
        if self.next in ("", ","):
            return ""
        if not self.is_word(value := self.take()):
            raise self.bad(f"found '{value}', expected: identifier")
        return value

    def value_set(self) -> list[str]:
        if (token := self.take()) != "(":
            raise self.bad(f"found '{token}' expected: '('")
        values: list[str] = []
        word = ""  # what stands between two commas; nothing is the empty value
        while (found := self.take()) != ")":
            if found == ",":
                values.append(word)
                word = ""
            elif not self.is_word(found):
                raise self.bad(f"found '{found}', expected: ',', ')' or identifier")
            elif word:
                raise self.bad(f"found '{found}', expected: ',' or ')'")
            else:
                word = found
        return [*values, word]

    @staticmethod
    def bad(message: str) -> Exception:
        return bad_request(f"unable to parse requirement: {message}")


@lru_cache(maxsize=1024)
def parse_label_selector(text: str) -> Selector:
    """Read what `-l` and the query parameter labelSelector carry. Raises: BadRequest."""
    return Selector(_Parser(text).requirements())


_WORDS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def from_label_selector(selector: Obj | None) -> Selector:
    """Read a metav1.LabelSelector: None selects nothing, an empty one everything. Raises: BadRequest."""
    if selector is None:
        return NOTHING
    found = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _WORDS.get(expression.get("operator", ""))
        if operator is None:
            raise bad_request(f"{shown(expression.get('operator', ''))} is not a valid label selector operator")
        found.append(_required(expression.get("key", ""), operator, expression.get("values") or ()))
    return Selector(found)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """`requirements` are (path, operator, value) with operator "=" or "!="."""

    requirements: tuple[tuple[str, str, str], ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(path, "") == value) == (op == "=") for path, op, value in self.requirements)

    @property
    def exact(self) -> dict[str, str]:
        return {path: value for path, op, value in self.requirements if op == "="}

    def __str__(self) -> str:
        return ",".join(f"{path}{op}{_ESCAPED.sub(_escape, value)}" for path, op, value in self.requirements)


_ESCAPED = re.compile(r"[\\,=]")


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


_FIELD_TERM = re.compile(r"(?:[^,\\]|\\.|\\$)+", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"!=|==|=")
_FIELD_VALUE = re.compile(r"\\[\\,=]|(?P<escape>\\.?)|(?P<bare>[,=])", re.DOTALL)


@lru_cache(maxsize=1024)
def parse_field_selector(text: str) -> FieldSelector:
    """Read what `--field-selector` carries. Which paths a kind knows is the API server's to say. Raises: BadRequest."""
    found: list[tuple[str, str, str]] = []
    for term in sorted(_FIELD_TERM.findall(text)):
        operator = _FIELD_OPERATOR.search(term)
        if operator is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _FIELD_VALUE.sub(_plain, term[operator.end():])
        found.append((term[:operator.start()], "!=" if operator[0] == "!=" else "=", value))
    return FieldSelector(tuple(found))


def _plain(match: re.Match[str]) -> str:
    """Take the backslash off; nothing but a comma, an equals sign and itself may stand behind one, nor without one."""
    if match["escape"]:
        raise bad_request(f"invalid field selector: invalid escape sequence: {match[0]}")
    if match["bare"]:
        raise bad_request(f"invalid field selector: unescaped character in value: {ord(match[0])}")
    return match[0][1:]
