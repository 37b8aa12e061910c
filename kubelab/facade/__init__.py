"""The verbs of a notebook, on any cluster: apply, get, wait, delete, scale, logs, exec, http.

    cell ─► Facade (synchronous) ─► background loop ─► Client ─► API server: ours in process, or any over HTTPS

Invariant: everything here goes through the API, so it shows the same on a real cluster.
Models:    kubectl
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kubelab.facade.manifests import Manifest, read
from kubelab.facade.results import Answer, ExecResult, Lines, Text
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units import by_kind, find
from kubelab.units.catalogue import Kind

if TYPE_CHECKING:
    from kubelab.client.background import BackgroundLoop
    from kubelab.client.client import Client
    from kubelab.views.table import ObjectList, ObjectView

T = TypeVar("T")


class Facade:
    """A cluster as a person handles it. Names may be written as kubectl does: "deployment/web"."""

    client: Client
    background: BackgroundLoop
    namespace: str = "default"
    quiet: bool = False

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the cluster's loop and return its result."""
        return self.background.call(work, timeout_s)

    def apply(self, *manifests: Manifest, namespace: str | None = None) -> Lines:
        """Create or change every object in `manifests`: a path, a folder, YAML text, dicts, or lists of these.

        Server-side apply with the field manager "kubelab"; fields that another manager set are taken over.
        Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        return self.call(self._apply(read(*manifests), namespace))

    async def _apply(self, objects: Sequence[Obj], namespace: str | None) -> Lines:
        lines = Lines()
        for obj in objects:
            kind = await self._kind_of(obj)
            name = obj.get("metadata", {}).get("name", "")
            where = obj.get("metadata", {}).get("namespace") or namespace or self.namespace if kind.namespaced else None
            before = await self._version(kind, name, where)
            after = await self.client.patch(kind, name, obj, where, type="apply", field_manager="kubelab", force=True)
            version = after["metadata"]["resourceVersion"]
            done = "created" if before is None else "unchanged" if before == version else "configured"
            lines.append(f"{_shown(kind)}/{name} {done}")
        return lines

    async def _version(self, kind: Kind, name: str, namespace: str | None) -> str | None:
        try:
            return str((await self.client.get(kind, name, namespace))["metadata"]["resourceVersion"])
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def _kind_of(self, obj: Obj) -> Kind:
        kind = by_kind(obj["apiVersion"], obj["kind"])
        return kind or await self._discover(obj["apiVersion"], obj["kind"])

    async def _discover(self, api_version: str, wanted: str) -> Kind:
        """Ask the server for a kind that our catalogue does not have (a custom resource, say)."""
        group, _, version = api_version.rpartition("/")
        try:
            served = await self.client.raw("GET", f"/apis/{api_version}" if group else f"/api/{version}")
        except ApiError as error:
            if error.code != 404:
                raise
            served = {"resources": []}
        for resource in served["resources"]:
            if resource["kind"] == wanted and "/" not in resource["name"]:
                return Kind(wanted, resource["name"], group, version, resource["namespaced"])
        raise ApiError(404, "NotFound", f'no matches for kind "{wanted}" in version "{api_version}": '
                       "is it spelled right? %kubectl api-resources lists what this cluster serves")

    def get(self, what: str, name: str | None = None, *, namespace: str | None = None, selector: str | None = None,
            field_selector: str | None = None) -> ObjectList | ObjectView:
        """Return objects as plain dicts; a notebook shows them as the table that kubectl prints.

        `what` is "pods", "po", "deployment/web", ...; namespace="*" means all namespaces.
        """
        from kubelab.views.table import ObjectList, ObjectView

        plural, slash, rest = what.partition("/")
        kind, name = find(plural), rest if slash else name
        where = self._where(kind, namespace)
        if name is not None:
            return ObjectView(self.call(self.client.get(kind, name, where)))
        query = {k: v for k, v in (("labelSelector", selector), ("fieldSelector", field_selector)) if v}
        found = self.call(self.client.list(kind, where, selector=selector, field_selector=field_selector))
        table = self.call(self.client.raw("GET", kind.path(where), query=query, accept=TABLE))
        type_meta = {"apiVersion": kind.api_version, "kind": kind.kind}
        return ObjectList([type_meta | item for item in found["items"]], table)

    def _where(self, kind: Kind, namespace: str | None) -> str | None:
        if not kind.namespaced or namespace == "*":
            return None
        return namespace or self.namespace

    def _one(self, target: str, namespace: str | None) -> tuple[Kind, str, str | None]:
        plural, slash, name = target.partition("/")
        if not slash:
            raise ValueError(f'{target!r} names no object; write it as "deployment/web"')
        kind = find(plural)
        return kind, name, self._where(kind, namespace)

    def wait(self, target: str, condition: str | Callable[[Obj], bool] = "Available", *, timeout_s: float = 60.0,
             namespace: str | None = None) -> ObjectView | None:
        """Return when `target` has `condition` (a condition type, "Deleted", or a function of the object).

        Raises: WaitTimeout, which explains from events and pods what stands in the way.
        """
        from kubelab.facade.wait import wait_for
        from kubelab.views.progress import Progress
        from kubelab.views.table import ObjectView

        kind, name, where = self._one(target, namespace)
        shown = condition if isinstance(condition, str) else "as asked"
        with Progress(f"{target} → {shown}", quiet=self.quiet) as bar:
            found = self.call(wait_for(self.client, kind, name, where, condition, timeout_s, bar.update))
        return None if found is None else ObjectView(found)

    def delete(self, *targets: str | Manifest, namespace: str | None = None, grace_period_s: int | None = None,
               propagation: str = "Background") -> Lines:
        """Delete by name ("deployment/web") or by the manifests that were applied."""
        return self.call(self._delete(targets, namespace, grace_period_s, propagation))

    async def _delete(self, targets: Iterable[str | Manifest], namespace: str | None, grace_period_s: int | None,
                      propagation: str) -> Lines:
        lines = Lines()
        for target in targets:
            if isinstance(target, str) and "\n" not in target and target.count("/") == 1 and "." not in target:
                chosen = [self._one(target, namespace)]
            else:
                chosen = []
                for obj in read(target):
                    kind = await self._kind_of(obj)
                    own = obj["metadata"].get("namespace") or namespace
                    chosen.append((kind, obj["metadata"]["name"], self._where(kind, own)))
            for kind, name, where in chosen:
                await self.client.delete(kind, name, where, grace_period_s=grace_period_s, propagation=propagation)
                lines.append(f'{_shown(kind)} "{name}" deleted')
        return lines

    def scale(self, target: str, replicas: int, *, namespace: str | None = None) -> Lines:
        """Ask for `replicas` pods, through the scale subresource."""
        kind, name, where = self._one(target, namespace)
        self.call(self.client.patch(kind, name, {"spec": {"replicas": replicas}}, where, subresource="scale"))
        return Lines([f"{_shown(kind)}/{name} scaled"])

    def patch(self, target: str, patch: Any, *, type: str = "strategic", namespace: str | None = None) -> ObjectView:
        """Change some fields: a strategic merge patch, or type="merge" | "json"."""
        from kubelab.views.table import ObjectView

        kind, name, where = self._one(target, namespace)
        return ObjectView(self.call(self.client.patch(kind, name, patch, where, type=type)))

    def logs(self, pod: str, container: str | None = None, *, namespace: str | None = None, tail: int | None = None,
             previous: bool = False, timestamps: bool = False) -> Text:
        """Return what a container printed. `pod` may also be "deployment/web": then its first pod."""
        where = namespace or self.namespace
        query = {k: v for k, v in (("container", container), ("tailLines", None if tail is None else str(tail)),
                                   ("previous", "true" if previous else None),
                                   ("timestamps", "true" if timestamps else None)) if v is not None}
        return self.call(self._logs(pod, where, query))

    async def _logs(self, target: str, namespace: str, query: dict[str, str]) -> Text:
        pod = await self._pod(target, namespace)
        query.setdefault("container", await self._container(pod, namespace))
        body = await self.client.raw("GET", find("pods").path(namespace, pod, "log"), query=query)
        return Text(body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body))

    async def _pod(self, target: str, namespace: str) -> str:
        """Return a pod's name: of the pod itself, or of the first running one that a workload or Service selects."""
        plural, slash, name = target.partition("/")
        if not slash:
            return target
        kind = find(plural)
        if kind.kind == "Pod":
            return name
        obj = await self.client.get(kind, name, namespace)
        selector = (obj.get("spec") or {}).get("selector") or {}
        labels = selector.get("matchLabels", selector)
        pods = (await self.client.list("pods", namespace, selector=",".join(f"{k}={v}" for k, v in labels.items())))
        running = [p for p in pods["items"] if p["status"].get("phase") == "Running"] or pods["items"]
        if not running:
            raise ApiError(404, "NotFound", f'{_shown(kind)} "{name}" has no pods yet; cluster.wait("{target}") first')
        return str(running[0]["metadata"]["name"])

    async def _container(self, pod: str, namespace: str) -> str:
        """Return the container that is meant when none is named: the annotated one, else the first, as in kubectl."""
        found = await self.client.get("pods", pod, namespace)
        chosen = (found["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        return str(chosen or found["spec"]["containers"][0]["name"])

    def exec(self, pod: str, command: str | Sequence[str], *, container: str | None = None,
             namespace: str | None = None, stdin: str | bytes | None = None) -> ExecResult:
        """Run a command in a container. A string is given to the container's shell."""
        from kubelab.facade.streams import run

        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        where = namespace or self.namespace

        async def work() -> ExecResult:
            name = await self._pod(pod, where)
            chosen = container or await self._container(name, where)
            return await run(self.client, name, where, words, chosen, data)

        return self.call(work())

    def http(self, url: str, *, method: str = "GET", **options: Any) -> Answer:
        """Fetch a URL of a Service by its name in the cluster.

        On a cluster of this kernel: through DNS, ClusterIP and proxy, as a pod would (options: headers, data, json,
        timeout_s, allow_redirects). On any other cluster: through the API server's service proxy.
        Raises: ConnectionError saying where the way ended.
        """
        from kubelab.facade.http import through_api_server

        return self.call(through_api_server(self.client, url, self.namespace, method))

    def events(self, target: str | None = None, *, namespace: str | None = None) -> ObjectList:
        """Return the events of a namespace, or of one object, oldest first."""
        chosen = None
        if target is not None:
            kind, name, _ = self._one(target, namespace)
            chosen = f"involvedObject.kind={kind.kind},involvedObject.name={name}"
        found: Any = self.get("events", namespace=namespace, field_selector=chosen)
        return found  # type: ignore[no-any-return]

    def follow_logs(self, pod: str, container: str | None = None, *, namespace: str | None = None) -> Iterator[str]:
        """Yield log lines as they are written, until the container ends or the loop is left."""
        where = namespace or self.namespace

        async def opened() -> Any:
            name = await self._pod(pod, where)
            query = {"follow": "true", "container": container or await self._container(name, where)}
            return self.client.stream("GET", find("pods").path(where, name, "log"), query=query)

        chunks = self.call(opened())
        rest = b""
        try:
            while (chunk := self.call(_next(chunks))) is not None:
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in lines)
        finally:
            self.call(chunks.aclose())


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def _next(chunks: Any) -> bytes | None:
    try:
        return bytes(await asyncio.wait_for(anext(chunks), None))
    except StopAsyncIteration:
        return None


def _shown(kind: Kind) -> str:
    singular = kind.singular or kind.kind.lower()
    return f"{singular}.{kind.group}" if kind.group else singular
