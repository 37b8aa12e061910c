"""What the verbs give back: values that read well when a notebook shows them and are plain data in code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


class Lines(list[str]):
    """A list of lines that shows as those lines."""

    def __repr__(self) -> str:
        return "\n".join(self)


class Text(str):
    """A text that shows as itself, line breaks and all; `str` in every other way."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to `cluster.http(...)`."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str
    address: str  # where the connection went: ip:port

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ok(self) -> bool:
        return self.status < 400


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container printed, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int

    def __repr__(self) -> str:
        tail = f"\n(exit code {self.exit_code})" if self.exit_code else ""
        return (self.stdout + self.stderr).rstrip("\n") + tail

    def __str__(self) -> str:
        return self.stdout
