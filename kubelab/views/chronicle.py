"""What happened, revision by revision: one plain sentence for each change of what the view draws.

    informer events ─┐
    watch of the past ┴─► note(kind, old, new) ─► {revision: Happening("Pod web-1 is ready")}
    journal, writes ────► wrote(revision, "update", "leases/...")   what is not drawn, where this process knows it

Invariant: from `complete_from` on no change of a followed kind is missing, so between two neighbours the picture is
           one and the same.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from typing import NamedTuple

from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.request import Obj
from kubelab.units import UnknownKind, find
from kubelab.views.diff import writer
from kubelab.views.items import condition, container_states
from kubelab.views.marks import marks_of

KEPT = 6_000  # happenings, and writes beside them
OF_ONE_OBJECT = 60


class Happening(NamedTuple):
    """One change of one object. `at` is Unix seconds, to the second where it was read from the object itself."""

    revision: int
    at: float
    kind: str
    namespace: str
    name: str
    words: str
    mood: str = "did"
    by: str = ""  # the field manager, where the object names one

    @property
    def of(self) -> Obj:
        """Return what names the object in a question of the view."""
        return {"kind": self.kind, "ns": self.namespace, "name": self.name}


class Chronicle:
    """The happenings of one cluster, by revision; the oldest are forgotten beyond `KEPT`."""

    def __init__(self) -> None:
        self.complete_from = 0
        self._known: dict[int, Happening] = {}
        self._revisions: list[int] = []
        self._writes: OrderedDict[int, Happening] = OrderedDict()

    def note(self, kind: str, old: Obj | None, new: Obj | None, at: float | None = None) -> Happening | None:
        """Take in one change; `at` is when it was heard of, None for one that is read back."""
        obj = new if new is not None else old
        assert obj is not None
        meta = obj["metadata"]
        revision = int(meta.get("resourceVersion") or 0)
        if not revision or revision in self._known:
            return self._known.get(revision)
        words, mood = sentence_of(kind, old, new)
        when = stamp(obj) if at is None else at
        found = Happening(revision, when, kind, meta.get("namespace", ""), meta["name"], words, mood, writer(old, new))
        self._known[revision] = found
        insort(self._revisions, revision)
        if len(self._revisions) > KEPT:
            self.complete_from = self._revisions.pop(0) + 1
            del self._known[self.complete_from - 1]
        return found

    def wrote(self, revision: int, at: float, verb: str, subject: str, by: str) -> None:
        """Take in that somebody wrote something, drawn or not; `subject` is "plural/namespace/name"."""
        plural, *space, name = subject.split("/")
        try:
            kind = find(plural).kind
        except UnknownKind:  # a custom resource: it is told of, and cannot be opened
            kind = ""
        words = f"{kind or plural} {name}: {verb}"
        self._writes[revision] = Happening(revision, at, kind, "/".join(space), name, words, by=by)
        if len(self._writes) > KEPT:
            self._writes.popitem(last=False)

    def happening(self, revision: int) -> Happening | None:
        return self._known.get(revision)

    def told(self, revision: int) -> Obj:
        """Return what is known of a revision: its time (0 for unknown), its sentence, the object it is about."""
        happening = self._known.get(revision) or self._writes.get(revision)
        if happening is not None:
            by = f", by {happening.by}" if happening.by else ""
            return {"at": happening.at, "words": happening.words + by, "mood": happening.mood,
                    "of": happening.of if happening.kind else None}
        before = bisect_left(self._revisions, revision) - 1
        at = self._known[self._revisions[before]].at if before >= 0 else 0.0
        return {"at": at, "words": "", "mood": "did", "of": None}

    def span(self, revision: int, settled: int) -> tuple[int, int]:
        """Return first and last revision of the stretch around `revision` in which nothing drawn changed.

        `settled` is the newest revision up to which every change has been noted.
        """
        if revision < self.complete_from:
            return revision, revision
        after = bisect_right(self._revisions, revision)
        first = self._revisions[after - 1] if after else self.complete_from
        last = self._revisions[after] - 1 if after < len(self._revisions) else max(revision, settled)
        return max(first, self.complete_from), last

    def neighbours(self, revision: int) -> tuple[int, int]:
        """Return the revisions of the changes before and after, 0 for none."""
        before, after = bisect_left(self._revisions, revision), bisect_right(self._revisions, revision)
        return (self._revisions[before - 1] if before else 0,
                self._revisions[after] if after < len(self._revisions) else 0)

    def changes_of(self, of: Obj) -> list[Happening]:
        """Return the last changes of one object, newest first."""
        wanted = (of["kind"], of.get("ns") or "", of["name"])
        found = {h.revision: h for h in (*self._writes.values(), *self._known.values())
                 if (h.kind, h.namespace, h.name) == wanted}
        return [found[revision] for revision in sorted(found, reverse=True)[:OF_ONE_OBJECT]]


def sentence_of(kind: str, old: Obj | None, new: Obj | None) -> tuple[str, str]:
    """Return what a change means in plain words, and its mood ("did" or "broke")."""
    name = ((new if new is not None else old) or {})["metadata"]["name"]
    who = f"{kind} {name}"
    marks = marks_of(kind, old, new)
    mood = "broke" if any(mark.mood == "broke" for mark in marks) else "did"
    if old is None or new is None:
        return f"{who} is {'created' if old is None else 'gone'}", mood
    if "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]:
        return f"{who} is asked to end", mood
    if marks:
        return ", ".join(mark.text for mark in marks), mood
    return f"{who} {_change(kind, old, new)}", mood


def _change(kind: str, old: Obj, new: Obj) -> str:
    if kind == "Pod" and (told := _pod(old, new)):
        return told
    if kind in ("Deployment", "ReplicationController"):
        was, now = (int((o.get("status") or {}).get("readyReplicas", 0)) for o in (old, new))
        if was != now:
            return f"has {now} of {(new.get('spec') or {}).get('replicas', 1)} ready"
    if kind == "EndpointSlice":
        was, now = _behind(old), _behind(new)
        if was != now:
            return f"leads to {now} ready pod{'s' * (now != 1)}"
    parts = [part for part in ("spec", "status", "metadata") if _content(old, part) != _content(new, part)]
    return f"changes its {' and '.join(parts)}" if parts else "is written again, unchanged"


def _pod(old: Obj, new: Obj) -> str:
    placed = (new.get("spec") or {}).get("nodeName")
    if placed and not (old.get("spec") or {}).get("nodeName"):
        return f"is placed on {placed}"
    was, now = condition(old, "Ready").get("status") == "True", condition(new, "Ready").get("status") == "True"
    if was != now:
        return "is ready" if now else "is no longer ready"
    running, ran = ([s in ("ready", "running") for s in container_states(pod)] for pod in (new, old))
    if sum(running) > sum(ran):
        return "has its containers running" if all(running) else "starts a container"
    phase = (new.get("status") or {}).get("phase")
    return f"has {str(phase).lower()}" if phase in ("Succeeded", "Failed") and phase != (
        old.get("status") or {}).get("phase") else ""


def _behind(slice_: Obj) -> int:
    return sum(bool((e.get("conditions") or {}).get("ready", True)) for e in slice_.get("endpoints") or ())


def _content(obj: Obj, part: str) -> Obj:
    found: Obj = obj.get(part) or {}
    return {k: v for k, v in found.items() if k not in ("managedFields", "resourceVersion")}


def stamp(obj: Obj) -> float:
    """Return when an object was last written, by its own account."""
    meta = obj["metadata"]
    times = [f.get("time") for f in meta.get("managedFields") or ()]
    times += [meta.get("creationTimestamp"), meta.get("deletionTimestamp")]
    return max((parse_timestamp(t) for t in times if t), default=0.0)
