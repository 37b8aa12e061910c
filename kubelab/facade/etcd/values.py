"""What the store's handle gives back: plain values in code, tables and YAML in a notebook.

    KeyValue (bytes) ─► Version (texts, decoded JSON) ─► Versions, a list that shows as a table

Invariant: showing a value asks the store nothing; what came from the store is escaped in HTML.
Models:    etcdctl's --write-out=table and fields
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.control_plane.etcd.api import KeyValue, WatchedEvent
from kubelab.views.diff import Diff, lines_of

LEFT = ' style="text-align:left;vertical-align:top"'
SHOWN_ROWS = 200
SUMMARY_CHARS = 60


class NoSuchKey(LookupError):
    """There is nothing under this key; the message says what is near."""


@dataclass(frozen=True, slots=True)
class Version:
    """One key at one revision. `value` is decoded where it is JSON, text where it is text, else bytes.

    `version` counts the puts since the key was created; `lease` is 0 where none holds the key.
    """

    key: str
    value: Any
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0
    raw: bytes = field(default=b"", repr=False)

    @property
    def summary(self) -> str:
        """Return the value in a few words."""
        if isinstance(self.value, dict) and "kind" in self.value:
            return f"{self.value['kind']} · {len(self.raw):,} bytes".replace(",", "\u202f")
        text = self.value if isinstance(self.value, str) else \
            repr(self.value) if isinstance(self.value, bytes) else json.dumps(self.value, ensure_ascii=False)
        return text if len(text) <= SUMMARY_CHARS else f"{text[:SUMMARY_CHARS - 1]}…"

    @property
    def head(self) -> str:
        lease = f", lease {self.lease:x}" if self.lease else ""
        return (f"{self.key}  changed at revision {self.mod_revision}, created at {self.create_revision}, "
                f"version {self.version}{lease}")

    def __repr__(self) -> str:
        return "\n".join([f"# {self.head}", *lines_of(self.value)])

    def _repr_html_(self) -> str:
        body = html.escape("\n".join(lines_of(self.value)))
        return f"<div><b>{html.escape(self.head)}</b></div><pre>{body}</pre>"


class Versions(list[Version]):
    """Keys with their values, as of `revision`."""

    def __init__(self, items: Iterable[Version] = (), revision: int = 0, *, asked: str = "") -> None:
        super().__init__(items)
        self.revision, self._asked = revision, asked

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self]

    def _rows(self) -> list[list[str]]:
        return [[v.key, str(v.create_revision), str(v.mod_revision), str(v.version), v.summary]
                for v in self[:SHOWN_ROWS]]

    @property
    def _tail(self) -> str:
        if not self:
            return f"no key begins with {self._asked!r} at revision {self.revision}"
        rest = len(self) - SHOWN_ROWS
        return f"{len(self)} key{'s' * (len(self) != 1)} at revision {self.revision}" + \
            (f", the first {SHOWN_ROWS} shown" if rest > 0 else "")

    def __repr__(self) -> str:
        return "\n".join([*text_table(HEADER, self._rows()), self._tail] if self else [self._tail])

    def _repr_html_(self) -> str:
        if not self:
            return f"<i>{html.escape(self._tail)}</i>"
        rows = self._rows()
        cells = [[html.escape(c) for c in row[:-1]] + [_folded(row[-1], v)]
                 for row, v in zip(rows, self, strict=False)]
        return html_table(HEADER, cells) + f"<div>{html.escape(self._tail)}</div>"


HEADER = ("KEY", "CREATED", "CHANGED", "VERSION", "VALUE")


@dataclass(frozen=True, slots=True)
class Event:
    """One change that a watch saw: `type` is PUT or DELETE; `before` is what stood there until then."""

    type: str
    key: str
    revision: int
    value: Any = None
    before: Any = None

    def __repr__(self) -> str:
        return f"{self.revision}  {self.type:<6} {self.key}"


@dataclass(frozen=True, slots=True)
class Step:
    """One version in a key's history. `what` is created, changed, deleted or (as old as etcd can tell) kept."""

    revision: int
    what: str
    value: Any
    diff: Diff
    by: str = ""  # the field manager, where the value names one

    @property
    def head(self) -> str:
        did = f"{self.what} by {self.by}" if self.by else self.what
        return f"revision {self.revision}  {did}  {self.diff.summary if self.what != 'kept' else ''}".rstrip()

    def __repr__(self) -> str:
        shown = self.diff if self.what == "changed" else ()
        return "\n".join([self.head, *(f"    {sign} {text}".rstrip() for sign, text in shown)])


class History(list[Step]):
    """Every version of a key that etcd still has, oldest first, each with what changed."""

    def __init__(self, key: str, steps: Iterable[Step], *, since: int = 0) -> None:
        super().__init__(steps)
        self.key, self.since = key, since

    @property
    def revisions(self) -> list[int]:
        return [step.revision for step in self]

    def _telling(self) -> list[bool]:
        """Say of each step whether it changed what somebody wants, and not only what is; those are shown unfolded."""
        wishes = [_wish(step.value) for step in self]
        return [step.what == "changed" and was != now
                for step, was, now in zip(self, [None, *wishes], wishes, strict=False)]

    @property
    def _foot(self) -> str:
        return f"what was before revision {self.since} has been compacted" if self.since else ""

    def __repr__(self) -> str:
        return "\n".join([self.key, *(repr(step) for step in self), *([self._foot] if self._foot else [])])

    def _repr_html_(self) -> str:
        steps = "".join(
            f"<details{' open' * opened}><summary style='opacity:{.7 if step.what == 'changed' and not opened else 1}'>"
            f"{html.escape(step.head)}</summary>{step.diff._repr_html_()}</details>"
            for step, opened in zip(self, self._telling(), strict=True))
        return f"<div><b>{html.escape(self.key)}</b></div>{steps}<div><i>{html.escape(self._foot)}</i></div>"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did: whether its compares held, at which revision, and each operation's answer."""

    succeeded: bool
    revision: int
    answers: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return self.succeeded

    def __repr__(self) -> str:
        held = "the compares held: `then` ran" if self.succeeded else "a compare did not hold: `otherwise` ran"
        rows = [line for answer in self.answers for line in repr(answer).splitlines()]
        return "\n".join([f"{held}, revision {self.revision}", *(f"    {row}" for row in rows)])


class Members(list[Any]):
    """The members of the store, shown as a table of what each says about itself."""

    def _table(self) -> tuple[list[str], list[list[str]]]:
        rows = [fields_of(member) for member in self]
        names = list(rows[0]) if rows else []
        return [name.replace("_", " ").upper() for name in names], [[_plain(row.get(n)) for n in names] for row in rows]

    def __repr__(self) -> str:
        return "\n".join(text_table(*self._table()))

    def _repr_html_(self) -> str:
        header, rows = self._table()
        return html_table(header, [[html.escape(c) for c in row] for row in rows])


def fields_of(thing: Any) -> dict[str, Any]:
    """Return a value's public fields, by name."""
    if hasattr(thing, "_asdict"):
        return dict(thing._asdict())
    names = getattr(type(thing), "__dataclass_fields__", None) or vars(thing)
    return {name: getattr(thing, name) for name in names if not name.startswith("_")}


def decoded(raw: bytes) -> Any:
    """Return stored bytes as people read them: JSON decoded, text as text, else the bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    if text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def version_of(kv: KeyValue) -> Version:
    return Version(_text(kv.key), decoded(kv.value), kv.create_revision, kv.mod_revision, kv.version, kv.lease,
                   kv.value)


def event_of(event: WatchedEvent) -> Event:
    before = decoded(event.prev_kv.value) if event.prev_kv is not None else None
    value = decoded(event.kv.value) if event.type == "PUT" else None
    return Event(event.type, _text(event.kv.key), event.kv.mod_revision, value, before)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]]


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells are HTML already."""
    head = "".join(f'<th scope="col"{LEFT}>{html.escape(c)}</th>' for c in header)
    body = "".join("<tr>" + "".join(f"<td{LEFT}>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _wish(value: Any) -> Any:
    """Return an object without its status and metadata, anything else as it is."""
    return {k: v for k, v in value.items() if k not in ("status", "metadata")} if isinstance(value, dict) else value


def _folded(summary: str, version: Version) -> str:
    if not isinstance(version.value, dict):
        return html.escape(summary)
    body = html.escape("\n".join(lines_of(version.value)))
    return f"<details><summary>{html.escape(summary)}</summary><pre>{body}</pre></details>"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
