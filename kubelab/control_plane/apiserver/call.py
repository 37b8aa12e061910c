"""A request on its way through the pipeline: what it asks, who asks, and the options it gave.

Invariant: options that Kubernetes would refuse never reach the registry.
Models:    metav1.CreateOptions, UpdateOptions, PatchOptions and DeleteOptions with their validation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kubelab.control_plane.apiserver.cache import Collection
from kubelab.control_plane.apiserver.decode import APPLY
from kubelab.machinery.errors import ApiError, FieldError, invalid, not_found
from kubelab.machinery.options import KIND_OF_VERB, errors_of, manager_of
from kubelab.machinery.request import Encoded, Obj, Request, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.catalogue import Kind

STATUS_PARTS = frozenset({"status", "approval"})
SPEC_PARTS = frozenset({"ephemeralcontainers", "resize"})


def same(obj: Obj) -> Obj:
    return obj


@dataclass(slots=True)
class Call:
    """One resource request. `kind` is the kind as asked for; `collection` is where it is stored."""

    request: Request
    info: RequestInfo
    user: User
    kind: Kind
    collection: Collection
    warnings: list[str] = field(default_factory=list)
    dry_run: bool = False
    field_validation: str = "Warn"
    manager: str = ""
    operation: str = "Update"  # or Apply, whose managed fields are known already
    generates: bool = False  # the name of a new object is made up
    strict: list[str] = field(default_factory=list)  # what a strict reader says of the body
    outward: Callable[[Obj], Obj] = same  # from the stored version to the one asked for
    inward: Callable[[Obj], Obj] = same  # and back

    @property
    def is_face(self) -> bool:
        """Say whether another version is asked for than the one that is stored."""
        return self.outward is not same

    @property
    def audit(self) -> dict[str, str]:
        """What admission wants noted in the audit log."""
        if self.request.notes is None:
            self.request.notes = {}
        return self.request.notes

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    @property
    def namespace(self) -> str:
        return self.info.namespace if self.kind.namespaced else ""

    @property
    def key(self) -> str:
        return f"{self.info.namespace}/{self.info.name}" if self.kind.namespaced else self.info.name

    @property
    def stored(self) -> Encoded:
        """The object that is asked for, as it is now. Raises `NotFound`."""
        body = self.collection.objects.get(self.key)
        if body is None:
            raise not_found(self.told_group, self.kind.plural, self.info.name)
        return body

    @property
    def told_group(self) -> str:
        """The group under which an object is spoken of: of two versions of a kind, that of the one that is stored."""
        group: str = self.collection.group_resource[0]
        return group

    @property
    def subresource(self) -> str:
        return self.info.subresource

    @property
    def writes_status(self) -> bool:
        """Say whether only the status is written: by its subresource, or by the approval of a certificate request."""
        return self.info.subresource in STATUS_PARTS

    def for_object(self, namespace: str, name: str) -> Call:
        """Return the same call for one object of the collection."""
        return replace(self, info=replace(self.info, namespace=namespace, name=name))

    def read_options(self) -> None:
        """Take dryRun, fieldValidation and fieldManager from the query. Raises `Invalid`."""
        query, verb = self.request.query, self.info.verb
        if verb not in KIND_OF_VERB:
            return  # what a delete takes from its query is read with its body
        applies = verb == "patch" and self.request.headers.get("content-type", "").startswith(APPLY)
        if errors := errors_of(verb, query, applies=applies):
            raise invalid_options(KIND_OF_VERB[verb], errors)
        self.dry_run = query.get("dryRun") == "All"
        manager, validation = query.get("fieldManager", ""), query.get("fieldValidation", "")
        self.field_validation = validation or "Warn"
        self.manager = manager or manager_of(self.request.headers.get("user-agent", ""))


def invalid_options(kind: str, errors: list[FieldError]) -> ApiError:
    return invalid("meta.k8s.io", kind, "", errors)
