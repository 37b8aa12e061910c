"""How a check looks at a cluster: read-only, through the API, the same for ours and for any other.

    check(look) ─┬─ look.get / look.list / look.visit ─► Client ─► API server
                 └─ look.members ─► the cluster's store, where it can be asked

Invariant: nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kubelab.client.client import Client
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj


class Look:
    """A window on a cluster; `call` runs a coroutine on the client's loop, `etcd` is the hand on its store."""

    def __init__(self, client: Client, call: Callable[[Coroutine[Any, Any, Any]], Any], etcd: Any = None) -> None:
        self._client, self._call, self._etcd = client, call, etcd

    @property
    def members(self) -> Sequence[Any]:
        """What each member of the store says of itself (name, state, leader, revision); none where nobody can ask."""
        return [] if self._etcd is None else list(self._etcd.members)

    def get(self, resource: str, name: str, namespace: str | None = None) -> Obj | None:
        """Return an object, None where there is none."""
        try:
            found: Obj = self._call(self._client.get(resource, name, namespace))
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return found

    def list(self, resource: str, namespace: str | None = None, *, selector: str | None = None) -> list[Obj]:
        found: Obj = self._call(self._client.list(resource, namespace, selector=selector))
        return list(found["items"])

    def visit(self, service: str, port: int, namespace: str, path: str = "/") -> tuple[int, str]:
        """Return status and answer of GET on a Service, through the API server's proxy; status 0 for no answer."""
        url = f"/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy{path}"
        try:
            body = self._call(self._client.raw("GET", url))
        except ApiError as error:
            return error.code, error.message
        except OSError as error:
            return 0, str(error)
        return 200, body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
