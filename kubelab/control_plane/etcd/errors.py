"""What etcd answers when it refuses: one class an error, with the code and the words that go over the wire.

    raise Compacted(7) ─► server: status OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"
                                        │
    except Compacted   ◄─ client: error_of("OUT_OF_RANGE", "etcdserver: mvcc: ...")

Invariant: `code` is the name of a gRPC status code and `message` is etcd's text to the letter: clients, a
           kube-apiserver among them, recognise an error by its text alone.
Models:    etcd's api/v3rpc/rpctypes
Left out:  the errors of users, roles and downgrades, which nothing here raises
"""

from __future__ import annotations

from typing import ClassVar


class EtcdError(Exception):
    """An answer that is not the one asked for. Raised as itself for an error that has no class here."""

    code: ClassVar[str] = "UNKNOWN"
    message: ClassVar[str] = ""

    def __init__(self, text: str | None = None) -> None:
        super().__init__(self.message if text is None else text)


# ── about the request ────────────────────────────────────────────────────────────────────────────────────────────


class InvalidRequest(EtcdError):
    code = "INVALID_ARGUMENT"


class EmptyKey(InvalidRequest):
    message = "etcdserver: key is not provided"


class KeyNotFound(InvalidRequest):
    """A put that keeps the old value or lease finds no key; also: an operation that is none."""

    message = "etcdserver: key not found"


class ValueProvided(InvalidRequest):
    message = "etcdserver: value is provided"


class LeaseProvided(InvalidRequest):
    message = "etcdserver: lease is provided"


class TooManyOps(InvalidRequest):
    message = "etcdserver: too many operations in txn request"


class DuplicateKey(InvalidRequest):
    message = "etcdserver: duplicate key given in txn request"


class RequestTooLarge(InvalidRequest):
    message = "etcdserver: request is too large"


class InvalidSortOption(InvalidRequest):
    message = "etcdserver: invalid sort option"


# ── about revisions, leases and room ─────────────────────────────────────────────────────────────────────────────


class Compacted(EtcdError):
    """The revision asked for is gone; `compact_revision` is the oldest that can still be read (0: not told)."""

    code = "OUT_OF_RANGE"
    message = "etcdserver: mvcc: required revision has been compacted"

    def __init__(self, compact_revision: int = 0) -> None:
        super().__init__()
        self.compact_revision = compact_revision


class FutureRevision(EtcdError):
    """The revision asked for has not happened yet."""

    code = "OUT_OF_RANGE"
    message = "etcdserver: mvcc: required revision is a future revision"

    def __init__(self, revision: int = 0, current: int = 0) -> None:
        super().__init__()
        self.revision, self.current = revision, current


class NoSpace(EtcdError):
    """The quota is used up: compact, defragment, then disarm the alarm."""

    code = "RESOURCE_EXHAUSTED"
    message = "etcdserver: mvcc: database space exceeded"


class LeaseNotFound(EtcdError):
    code = "NOT_FOUND"
    message = "etcdserver: requested lease not found"

    def __init__(self, lease: int = 0) -> None:
        super().__init__()
        self.lease = lease


class LeaseExists(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: lease already exists"


class LeaseTtlTooLarge(EtcdError):
    code = "OUT_OF_RANGE"
    message = "etcdserver: too large lease TTL"


# ── about members ────────────────────────────────────────────────────────────────────────────────────────────────


class MemberExists(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: member ID already exist"


class PeerUrlExists(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: Peer URLs already exists"


class NotEnoughStarted(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: re-configuration failed due to not enough started members"


class BadUrls(InvalidRequest):
    message = "etcdserver: given member URLs are invalid"


class MemberNotFound(EtcdError):
    code = "NOT_FOUND"
    message = "etcdserver: member not found"


class MemberNotLearner(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: can only promote a learner member"


class LearnerNotReady(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: can only promote a learner member which is in sync with leader"


class TooManyLearners(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: too many learner members in cluster"


class BadTransferee(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: bad leader transferee"


class NotLeader(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: not leader"


class NotClustered(EtcdError):
    """This store runs without consensus, so no member can join it."""

    code = "UNIMPLEMENTED"
    message = ("etcdserver: this member runs alone, without consensus; several run with `kubelab etcd --members 3`, "
               "`kubelab up --etcd-members 3` or Cluster(etcd=3)")


class AuthNotEnabled(EtcdError):
    code = "FAILED_PRECONDITION"
    message = "etcdserver: authentication is not enabled"


# ── about the moment: try again ──────────────────────────────────────────────────────────────────────────────────


class Unavailable(EtcdError):
    """The store does not run, or cannot answer now. As itself: it was stopped."""

    code = "UNAVAILABLE"
    message = "etcdserver: server stopped"


class NoLeader(Unavailable):
    message = "etcdserver: no leader"


class LeaderChanged(Unavailable):
    message = "etcdserver: leader changed"


class TimedOut(Unavailable):
    message = "etcdserver: request timed out"


class LeaderFailed(Unavailable):
    message = "etcdserver: request timed out, possibly due to previous leader failure"


class ConnectionLost(Unavailable):
    message = "etcdserver: request timed out, possibly due to connection lost"


class Unhealthy(Unavailable):
    message = "etcdserver: unhealthy cluster"


class NotForLearner(Unavailable):
    message = "etcdserver: rpc not supported for learner"


class TooManyRequests(EtcdError):
    code = "RESOURCE_EXHAUSTED"
    message = "etcdserver: too many requests"


class StoreFailed(EtcdError):
    """The disk refused a write: nothing after it was acknowledged, and nothing is until the store is restarted."""

    code = "UNAVAILABLE"


def _with_message(base: type[EtcdError]) -> dict[str, type[EtcdError]]:
    found = {base.message: base} if base.message else {}
    for kind in base.__subclasses__():
        found |= _with_message(kind)
    return found


_BY_MESSAGE = _with_message(EtcdError)


def error_of(code: str, text: str) -> EtcdError:
    """Make the exception of an answer that came over the wire, by its text, or else by its code."""
    kind = _BY_MESSAGE.get(text)
    if kind is not None:
        return kind()
    return Unavailable(text) if code == "UNAVAILABLE" else EtcdError(f"{text} ({code})")
