"""The seam in front of the API server: one request in, one response out, the same in process and over HTTPS.

    client ─► Request ─► handler (ApiServer.handle) ─► Response ─► client
                            │
                            └─ over the wire, a codec on either side turns both into HTTP

Invariant: a body that came out of a Response is shared and is never changed in place.
Models:    net/http's Handler in front of kube-apiserver
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
"""A Kubernetes object as it stands on the wire: a plain dict with camelCase keys."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as authentication found out."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def info(self) -> Obj:
        """The user as an authentication.k8s.io/v1 UserInfo."""
        told = {"username": self.name, "uid": self.uid, "groups": list(self.groups),
                "extra": {key: list(values) for key, values in self.extra.items()}}
        return {key: value for key, value in told.items() if value}


@dataclass(slots=True)
class Request:
    """One API request. `body` is bytes from the wire, or a dict or list in process."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # keys in lower case
    body: Any = None
    user: User | None = None
    cause: int | None = None  # entry of the trace journal that led to this request
    notes: dict[str, str] | None = None  # for the audit log, by whoever handles the request
    certificate: bytes | None = None  # the client's, as DER, whose signature TLS has checked
    answer_head: Mapping[str, str] | None = None  # headers that the answer is to carry, whatever it is
    wire: Any = None  # the HTTP request underneath, for those that become a stream of bytes


@dataclass(frozen=True, slots=True)
class Encoded:
    """An object together with its JSON, encoded once and shared by every read, list and watch event."""

    obj: Obj
    raw: bytes


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; `frame` is the whole JSON line as the wire carries it."""

    type: str
    obj: Obj
    frame: bytes
    cause: int | None = None  # entry of the trace journal: the write that this event tells of


@dataclass(slots=True)
class Response:
    """The answer: `body` for a single answer, `events` for a watch (closing the iterator ends the watch)."""

    status: int
    body: Obj | Encoded | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    events: AsyncIterator[WatchEvent] | None = None
    chunks: AsyncIterator[bytes] | None = None  # a body that comes bit by bit, such as a log that is followed
    encode: Callable[[], bytes] | None = None  # the body's JSON, where joining stored bytes beats encoding `body`
    answered: Any = None  # the answer is on the wire already; what the HTTP server is to be told


Handler = Callable[[Request], Awaitable[Response]]
