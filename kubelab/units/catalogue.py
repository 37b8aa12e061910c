"""What the API server knows of a kind: one `Kind` entry each, all data and pure functions.

    units/pod.py ─► POD = Kind(...) ─┐
    units/service.py ─► SERVICE ... ─┴─► CATALOGUE ─► apiserver, client, printers, notebooks

Invariant: `default` and `prepare_*` change only a fresh object that the API server owns; the rest read.
Models:    the registry strategies, defaults and printers of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelab.machinery.errors import FieldError
from kubelab.machinery.request import Obj

RETURNED = frozenset({  # when they are deleted; of other kinds a Status says so
    "csidrivers", "csinodes", "deviceclasses", "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates",
    "resourceclaims", "resourceclaimtemplates", "resourcequotas", "resourceslices", "serviceaccounts", "services",
    "storageclasses", "volumeattachments", "volumeattributesclasses"})


@dataclass(frozen=True, slots=True)
class Column:
    """One printer column: `kubectl get` shows priority 0, `-o wide` shows priority 1 too."""

    name: str
    cell: Callable[[Obj, float], Any]  # (object, now in Unix seconds) -> cell value
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    path: str = ""  # where `description` is empty: the field whose schema description stands for it


def _nothing(obj: Obj) -> None:
    """Leave the object as it is."""


def _keep(new: Obj, old: Obj) -> None:
    """Leave the new object as it is."""


def _keep_status(new: Obj, old: Obj, now: str) -> None:
    """Leave the new object as it is."""


def _no_errors(obj: Obj) -> Sequence[FieldError]:
    return ()


def _no_update_errors(new: Obj, old: Obj) -> Sequence[FieldError]:
    return ()


def _no_warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    return ()


def _no_part_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return ()


def _no_conditions(obj: Obj) -> list[Obj]:
    return []


def _only_meta(obj: Obj) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. Everything the API server does alike for all kinds stands elsewhere; this is the rest."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    singular: str = ""  # default: kind in lower case
    subresources: frozenset[str] = frozenset()  # "status", "scale", "log", ...
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    default: Callable[[Obj], None] = _nothing  # fill in defaults; runs after the schema check
    default_status: Callable[[Obj], None] = _nothing  # the same for a write to the status subresource
    prepare_create: Callable[[Obj], None] = _nothing  # e.g. pods start as phase Pending with empty status
    prepare_update: Callable[[Obj, Obj], None] = _keep  # (new, old): e.g. keep what the main resource may not write
    prepare_status: Callable[[Obj, Obj, str], None] = _keep_status  # (new, old, now): what a status write notes
    validate: Callable[[Obj], Sequence[FieldError]] = _no_errors  # beyond the schema and the metadata rules
    validate_update: Callable[[Obj, Obj], Sequence[FieldError]] = _no_update_errors  # (new, old): immutables
    meta_looks: tuple[int, int] = (1, 1)  # how often an update's metadata is looked at: as such, and as a new object's
    update_first: bool = False  # what may not change is told before what is wrong with the object, as upstream does
    update_alone: bool = False  # an update is looked at by `validate_update` only: what was stored is not judged again
    validate_part: Callable[[Obj, Obj, str], Sequence[FieldError]] = _no_part_errors  # (new, old, subresource)
    canonical: Callable[[Obj], None] = _nothing  # puts what was allowed into the layout that is stored
    warnings: Callable[[Obj, Obj | None], Iterable[str]] = _no_warnings  # (new, old): what is allowed but unwise
    validate_name: str = "subdomain"  # "subdomain" | "label" (RFC 1123) | "label1035" | "path"
    columns: tuple[Column, ...] = ()
    row_conditions: Callable[[Obj], list[Obj]] = _no_conditions  # of its row in a table: an ended pod is Completed
    row_order: Callable[[Obj], Any] | None = None  # how a table of a list is sorted; else as the list is
    selectable: Callable[[Obj], Mapping[str, str]] = _only_meta  # field selector paths besides metadata.name/namespace
    generation: bool = False  # metadata.generation counts spec changes
    counted_metadata: str = ""  # which part of the metadata counts too: the labels of an EndpointSlice
    selectable_keys: tuple[str, ...] = field(default=())  # every path `selectable` may return; others are 400
    unselectable: str = "field label not supported: {}"  # how another path is refused, where this kind has its own
    version_notes: frozenset[str] = frozenset()  # annotations of the versioned object alone, not of its bare metadata
    deprecated: str = ""  # what clients are warned with
    list_kind: str = ""  # default: the kind with List behind it
    own: Any = None  # of a custom resource: its schema, and what else its definition says

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Return the URL prefix of the group version: /api/v1 or /apis/apps/v1."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def qualified(self) -> str:
        """Return the name that is unique in a cluster: pods, deployments.apps."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def builtin(self) -> str:
        """Return the plural by which rules know a kind of our own; a custom one, whatever its plural, matches none."""
        return self.plural if self.own is None else self.qualified

    @property
    def returned(self) -> bool:
        """Return whether what is deleted is answered with, instead of a Status."""
        return self.builtin in RETURNED

    @property
    def any_finalizer(self) -> bool:
        """Return whether finalizers may have names without a domain; of custom resources they are warned of."""
        return self.own is not None or self.group in ("apiextensions.k8s.io", "apiregistration.k8s.io")

    def bare_metadata(self, obj: Obj) -> Obj:
        """Return an object's metadata as tables and PartialObjectMetadata show it."""
        metadata: Obj = obj["metadata"]
        notes = metadata.get("annotations")
        if not notes or self.version_notes.isdisjoint(notes):
            return metadata
        kept = {key: value for key, value in notes.items() if key not in self.version_notes}
        return {key: kept if key == "annotations" else value for key, value in metadata.items()
                if key != "annotations" or kept}

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, of one object, or of its subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)
