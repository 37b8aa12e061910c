"""What an admission plugin is, and what it is shown of a request.

Invariant: `admit` may change the new object, `validate` only looks; what either refuses has left no trace.
Models:    k8s.io/apiserver/pkg/admission
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field

from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.errors import ApiError, forbidden
from kubelab.machinery.request import Obj

NO_OBJ: Obj = {}


@dataclass(slots=True)
class Attributes:
    """One write, as admission sees it. `obj` is empty for DELETE, `old` for CREATE."""

    call: Call
    operation: str  # CREATE, UPDATE, DELETE, CONNECT
    obj: Obj
    old: Obj
    options: Obj | None = None
    again: bool = False  # this is the second round
    dirty: bool = False  # a webhook or policy changed the object
    _ran: set[str] = field(default_factory=set)  # rules that want to see what later ones change
    _second: set[str] = field(default_factory=set)  # of those, the ones with a change to see

    def runs(self, rule: str) -> bool:
        """Say whether a webhook or policy is to be run in this round."""
        return not self.again or rule in self._second

    def ran(self, rule: str, if_needed: bool) -> None:
        """Note that a rule was run, and whether it wants to be run again when others change the object."""
        if if_needed and not self.again:
            self._ran.add(rule)

    def changed(self) -> None:
        """Note that a rule changed the object: all plugins run once more, and the rules before it that want to."""
        self._second |= self._ran
        self.dirty = True

    @property
    def resource(self) -> str:
        """Return the plural, with the subresource behind a slash."""
        call = self.call
        return f"{call.kind.builtin}/{call.info.subresource}" if call.info.subresource else call.kind.builtin

    @property
    def namespace(self) -> str:
        return self.call.namespace

    @property
    def name(self) -> str:
        name = (self.obj or self.old).get("metadata", NO_OBJ).get("name") or self.call.info.name
        return str(name or "")

    def forbidden(self, why: str) -> ApiError:
        return forbidden(self.call.kind.group, self.call.kind.plural, self.name, why)


class Plugin:
    """One rule of admission.

    `handles` names what it wants to see: `CREATE pods`, `UPDATE pods/resize`, `DELETE *`. A method that has
    to wait returns something to await.
    """

    name = ""
    handles: tuple[str, ...] = ()

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def admit(self, a: Attributes) -> Awaitable[None] | None:
        """Complete the object, or refuse it."""

    def validate(self, a: Attributes) -> Awaitable[None] | None:
        """Refuse the object, once it is complete and valid."""

    def wants(self, operation: str, resource: str) -> bool:
        return f"{operation} {resource}" in self.handles or f"{operation} *" in self.handles

    def objects(self, group: str, plural: str, namespace: str = "") -> Iterator[Obj]:
        """Yield what is stored of a kind, in the order of names; nothing when the kind is not there."""
        collection = self.storage.collections.get((group, plural))
        if collection is not None and collection.keys:
            for key in collection.range(namespace):
                yield collection.objects[key].obj

    def get(self, group: str, plural: str, key: str) -> Obj | None:
        collection = self.storage.collections.get((group, plural))
        body = collection.objects.get(key) if collection is not None else None
        return body.obj if body is not None else None
