"""The learner's hand on the store: read, write, look back, watch, and break it.

    cell ─► EtcdHandle ─► background loop ─► EtcdApi: in this process, three members, or a real etcd
                │
                └─ whatever else the store can do (kill, partition, heal, ...) is passed on as it is

Invariant: keys are texts here and values are decoded; nothing is kept between two calls.
Models:    etcdctl
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from kubelab.client.background import BackgroundLoop
from kubelab.client.component import Component
from kubelab.control_plane.etcd.api import (
    Compacted,
    Compare,
    DeleteResult,
    EtcdApi,
    FutureRevision,
    LeaseNotFound,
    NestedTxn,
    Op,
    OpResult,
    Put,
    Range,
    RangeResult,
    TxnResult,
    Unavailable,
    prefix_end,
)
from kubelab.facade.etcd import past, text
from kubelab.facade.etcd.alone import ONE, OneStore
from kubelab.facade.etcd.lease import Lease
from kubelab.facade.etcd.values import Event, History, Members, NoSuchKey, Outcome, Step, Version, Versions, version_of
from kubelab.facade.etcd.watching import EtcdWatch
from kubelab.facade.handle import Handle
from kubelab.facade.results import Text
from kubelab.machinery.journal import Journal
from kubelab.views.diff import Diff, compare

T = TypeVar("T")

__all__ = ["EtcdHandle", "Event", "History", "Lease", "NoSuchKey", "Outcome", "Step", "Version", "Versions"]


@dataclass(frozen=True, slots=True)
class OneMember:
    """A store that is one process says as much of itself as a member of several."""

    name: str
    role: str
    revision: int
    compact_revision: int
    healthy: bool


class EtcdHandle(Handle):
    """The store of a cluster, held from a notebook.

    Revisions: 0 is now. Raises, where a revision is given: Compacted (the message names the oldest that is left),
    FutureRevision; everywhere: Unavailable while the store is stopped.
    """

    def __init__(self, component: Component, background: BackgroundLoop, wire: Component | None = None,
                 journal: Journal | None = None) -> None:
        super().__init__(component, background)
        self._journal = journal
        self._etcd: EtcdApi = component  # type: ignore[assignment]
        self._wire = wire
        self._view: Any = None
        self._alone: OneStore | None = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a call on the cluster's loop; to an error of the store add what to do next."""
        try:
            return self._background.call(work)
        except (Compacted, FutureRevision, LeaseNotFound, Unavailable) as error:
            error.args = (f"{error}{self._advice(error)}",)
            raise

    def _advice(self, error: Exception) -> str:
        if isinstance(error, Compacted):
            return f". Ask for revision={error.compact_revision or self.oldest} or later"
        if isinstance(error, FutureRevision):
            return f". The newest there is: revision={self.revision}; .watch() waits for what comes"
        if isinstance(error, LeaseNotFound):
            return ". It has expired or was revoked; .lease(ttl_s) makes a new one"
        if self.state == "stopped":
            return ". The store is stopped; .start() starts it"
        if hasattr(self.component, "groups"):
            return ": no majority of members answers; .members shows who does, .restart(0) and .heal() bring them back"
        return f". It is {self.state}"

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def revision(self) -> int:
        """Return the newest revision: the number of the last write."""
        return self._run(self._etcd.range(b"/", count_only=True)).revision if self._etcd.shared else self._etcd.revision

    @property
    def oldest(self) -> int:
        """Return the oldest revision that can still be read."""
        return max(1, self._etcd.compact_revision)

    def get(self, key: str, *, prefix: bool = False, revision: int = 0, limit: int = 0) -> Any:
        """Return a Version, or with `prefix` the Versions of every key that begins with `key`, as of `revision`.

        Raises: NoSuchKey.
        """
        if not prefix:
            return self._run(self._one(key, revision))
        name = key.encode()
        found = self._run(self._etcd.range(name, prefix_end(name), revision=revision, limit=limit))
        return Versions(map(version_of, found.kvs), revision or found.revision, asked=key)

    async def _one(self, key: str, revision: int) -> Version:
        found = await self._etcd.range(key.encode(), revision=revision)
        if not found.kvs:
            raise NoSuchKey(await self._why_not(key, revision))
        return version_of(found.kvs[0])

    async def _why_not(self, key: str, revision: int) -> str:
        now = (await self._etcd.range(key.encode())).kvs if revision else ()
        if now and now[0].create_revision > revision:
            return f"{key} was not there at revision {revision}: it was created at revision {now[0].create_revision}"
        folder = key.rpartition("/")[0] + "/"
        near = await self._etcd.range(folder.encode(), prefix_end(folder.encode()), keys_only=True, limit=2000)
        names = [kv.key.decode("utf-8", "backslashreplace") for kv in near.kvs]
        close = difflib.get_close_matches(key, names, 3, 0.5) or names[:3]
        hint = f"near it: {', '.join(close)}" if close else \
            'nothing stands below that path; .get("/registry/", prefix=True) lists what there is'
        return f"there is no key {key}{f' at revision {revision}' if revision else ''}; {hint}. " \
               f"What was deleted is in .history({key!r})"

    def history(self, key: str) -> History:
        """Return every version of a key that is still kept, oldest first, with what changed. Raises: NoSuchKey."""
        return self._run(self._history(key))

    async def _history(self, key: str) -> History:
        found = await past.history(self._etcd, key)
        if not found:
            raise NoSuchKey(await self._why_not(key, 0))
        return found

    def diff(self, key: str, from_revision: int, to_revision: int = 0) -> Diff:
        """Return what changed in a key between two revisions (0: now), line by line. Raises: NoSuchKey."""
        return self._run(self._diff(key, from_revision, to_revision))

    async def _diff(self, key: str, from_revision: int, to_revision: int) -> Diff:
        name = key.encode()
        old, new = [(await self._etcd.range(name, revision=at)).kvs for at in (from_revision, to_revision)]
        if not old and not new:
            raise NoSuchKey(await self._why_not(key, to_revision))
        return compare(version_of(old[0]).value if old else None, version_of(new[0]).value if new else None)

    def watch(self, key: str, *, prefix: bool = False, revision: int = 0, timeout_s: float | None = None) -> EtcdWatch:
        """Return an iterator over the changes of a key from `revision` on (0: from now), past ones first.

        The loop over it ends after `timeout_s` without a change, or at `.stop()`.
        """
        watch = EtcdWatch(key, timeout_s)
        self._run(self._watch(watch, key.encode(), prefix, revision))
        return watch

    async def _watch(self, watch: EtcdWatch, name: bytes, prefix: bool, revision: int) -> None:
        held = self._etcd.watch(name, prefix_end(name) if prefix else None, revision, prev_kv=True,
                                on_events=watch.feed, on_lost=watch.lost)
        watch.cancel = functools.partial(self._background.post, held.cancel)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, key: str, value: Any, *, lease: Lease | int = 0) -> int:
        """Write a value (a text, bytes, or anything that JSON can hold) and return the revision of the write."""
        op = Put(key.encode(), text.as_bytes(value), lease if isinstance(lease, int) else lease.id)
        return self._run(self._etcd.txn((), (op,))).revision

    def delete(self, key: str, *, prefix: bool = False) -> int:
        """Delete a key, or all that begin with it, and return how many there were."""
        name = key.encode()
        return self._run(self._etcd.delete_range(name, prefix_end(name) if prefix else None)).deleted

    def txn(self, when: Iterable[text.Sentence | Compare] = (), then: Iterable[text.Sentence | Op] = (),
            otherwise: Iterable[text.Sentence | Op] = ()) -> Outcome:
        """Run `then` if every compare of `when` holds, else `otherwise`: all of it at one revision, or nothing.

        Sentences are etcdctl's: `when=['mod("/demo/lock") = 0'], then=["put /demo/lock me"]`. Values that are no
        plain words come as tuples: `("put", key, value)`. Raises: ValueError that shows how it is written.
        """
        compares = [text.compare(words) for words in _listed(when)]
        success, failure = ([text.operation(words) for words in _listed(ops)] for ops in (then, otherwise))
        done = self._run(self._etcd.txn(compares, success, failure))
        ran = success if done.succeeded else failure
        return Outcome(done.succeeded, done.revision, tuple(map(_answer, ran, done.responses)))

    def lease(self, ttl_s: int) -> Lease:
        """Return a new lease: keys put with it go when it is not kept alive for `ttl_s` seconds."""
        return Lease(self._run(self._etcd.lease_grant(ttl_s)), ttl_s, self._etcd, self._run)

    def compact(self, revision: int) -> None:
        """Forget what was before `revision`; what is now stays."""
        self._run(self._etcd.compact(revision))

    # ── on the wire ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def endpoint(self) -> str:
        """Return the URL at which etcdctl and other clients find this store."""
        return self.environment["ETCDCTL_ENDPOINTS"]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that etcdctl needs: `subprocess.run(["etcdctl", ...], env=os.environ | ...)`."""
        if self._wire is None:
            raise RuntimeError('this store is not on the wire; start it so: Cluster(etcd_listen="127.0.0.1:0")')
        found: dict[str, str] = self._wire.environment  # type: ignore[attr-defined]  # etcd's gRPC server
        return found

    @property
    def etcdctl(self) -> str:
        """Return a command to type into a terminal."""
        from kubelab.control_plane.etcd.wire.access import etcdctl_line

        return Text(etcdctl_line(self.environment))

    # ── the store itself ─────────────────────────────────────────────────────────────────────────────────────

    def restart(self, member: int | None = None) -> Self:
        """Start a member that was killed, by its place; without one, stop the whole store and start it again."""
        if member is None:
            return super().restart()
        if not hasattr(self.component, "restart"):
            raise LookupError(ONE)
        self._run(self.component.restart(member))
        return self

    @property
    def members(self) -> Members:
        """Return what each member says of itself: its role, term, how far its log is."""
        found = getattr(self.component, "members", None)
        if found is None:
            one = OneMember(self.component.name, "alone", self.revision, self._etcd.compact_revision,
                            self.state == "running")
            return Members([one])
        return Members(self._run(_settled(found)))

    @property
    def view(self) -> Any:
        """The live view of the members, one widget for this store: logs, messages, and buttons that break it."""
        if self._view is None:
            from kubelab.views.consensus_view import ConsensusView

            group: Any = self.component
            if not hasattr(group, "groups"):
                group = self._alone = OneStore(self.component)
            journal = getattr(group, "messages", self._journal)
            self._view = ConsensusView(group, journal, call=self._background.call)
        return self._view

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.view._repr_mimebundle_(**options)

    def close_view(self) -> None:
        """End the view; the last picture stays. Safe to call again."""
        if self._view is not None:
            self._view.stop()
            self._view = None
        if self._alone is not None and self._background.running:
            self._background.call(_settled(self._alone.close))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.component, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def on_loop(*args: Any, **options: Any) -> Any:
            return self._run(_settled(found, *args, **options))

        return on_loop

    def __repr__(self) -> str:
        now = f", revision {self.revision}" if self.state == "running" else ""
        return f"<{self.component.name}: {self.state}{now}>"


async def _settled(found: Any, *args: Any, **options: Any) -> Any:
    """Call what can be called, on this loop, and wait for what has to be waited for."""
    value = found(*args, **options) if callable(found) else found
    return await value if inspect.isawaitable(value) else value


def _listed(sentences: Iterable[Any]) -> list[Any]:
    """Return the sentences of a list; a text alone is one sentence."""
    return [sentences] if isinstance(sentences, str) else list(sentences)


def _answer(op: Op, answer: OpResult) -> Any:
    """Return what etcdctl prints: keys for a get, OK for a put, how many for a delete."""
    if isinstance(answer, RangeResult) and isinstance(op, Range):
        return Versions(map(version_of, answer.kvs), answer.revision, asked=op.key.decode("utf-8", "backslashreplace"))
    if isinstance(answer, TxnResult) and isinstance(op, NestedTxn):
        ran = op.success if answer.succeeded else op.failure
        return Outcome(answer.succeeded, answer.revision, tuple(map(_answer, ran, answer.responses)))
    return answer.deleted if isinstance(answer, DeleteResult) else Text("OK")
