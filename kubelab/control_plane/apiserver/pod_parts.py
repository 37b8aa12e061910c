"""The parts of a pod's spec that may change while it runs: ephemeral containers and the resources of containers.

    PUT, PATCH or apply to pods/web-1/resize ─► the same pod with only that part changed ─► the pipeline, as any write

Invariant: whatever else the body says, only the part that the subresource is for is written, and owned.
Models:    EphemeralContainersREST and ResizeREST of kube-apiserver's pod registry
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelab.control_plane.apiserver import patching, writing
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.machinery import apply
from kubelab.machinery.errors import forbidden_field, invalid
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj, Response
from kubelab.machinery.routes import is_true
from kubelab.units import object_parts

CONTAINERS = ("containers", "initContainers")
RESIZED = ("resources", "resizePolicy")  # of a container


def _ephemeral(spec: Obj) -> Obj:
    return {"ephemeralContainers": spec.get("ephemeralContainers") or []}


def _resources(spec: Obj) -> Obj:
    part: Obj = {key: [{field: c[field] for field in ("name", *RESIZED) if field in c} for c in spec[key]]
                 for key in CONTAINERS if spec.get(key)}
    return {**part, "resources": spec["resources"]} if spec.get("resources") else part


def _with_ephemeral(spec: Obj, part: Obj) -> Obj:
    return {**spec, **part}


def _with_resources(spec: Obj, part: Obj) -> Obj:
    out = {key: value for key, value in spec.items() if key != "resources"}
    for key in CONTAINERS:
        if spec.get(key):
            out[key] = [{**{k: v for k, v in c.items() if k not in RESIZED}, "resources": {}, **wanted}
                        for c, wanted in zip(spec[key], part[key], strict=True)]
    return {**out, "resources": part["resources"]} if "resources" in part else out


def _same_containers(new: Obj, old: Obj) -> None:
    """Raise `Invalid` when a resize brings other containers, or in another order."""
    for key in CONTAINERS:
        given, known = ([c.get("name") for c in pod["spec"].get(key) or ()] for pod in (new, old))
        if given != known:
            how = "added or removed" if len(given) != len(known) else "renamed or reordered"
            raise invalid("", "Pod", old["metadata"]["name"],
                          [forbidden_field("spec", f"{key} may not be {how} on resize")])


# subresource: what of a spec it is about, and how that is put into a stored spec
PARTS: Mapping[str, tuple[Callable[[Obj], Obj], Callable[[Obj, Obj], Obj]]] = {
    "ephemeralcontainers": (_ephemeral, _with_ephemeral), "resize": (_resources, _with_resources)}


class PodParts:
    """Handler of the subresources that write a part of a pod's spec."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def serve(self, call: Call) -> Response:
        """Show the pod, or write the part."""
        if call.info.verb == "get":
            return Response(200, call.stored)
        body, _ = await writing.on_stored(call, self._pipeline, self._maker(call))
        return Response(200, body)

    def _maker(self, call: Call) -> Callable[[Obj], Obj]:
        """Return what makes the new pod of the stored one; the body is read once."""
        if call.info.verb == "update":
            sent = writing.read_update(call)
            return lambda old: _placed(call, sent, old)
        format_ = patching.format_of(call)
        if format_ != "apply":
            body = patching.read_patch(call, format_)
            return lambda old: _placed(call, patching.patched(call, call.kind, old, format_, body), old)
        manifest = writing.read_applied_part(call)
        part = PARTS[call.subresource][0]
        named = {key: manifest["metadata"][key] for key in ("name", "namespace")}
        said = {**manifest, "metadata": named, "spec": part(manifest.get("spec") or {})}
        force, stamp = is_true(call.query.get("force")), self._pipeline.stamp()

        def merged(old: Obj) -> Obj:
            new = apply.apply(old, said, call.manager, force, stamp, subresource=call.subresource)
            return _placed(call, patching.checked(call, call.kind, copy_obj(new)), old,
                           new["metadata"].get("managedFields"))

        return merged


def _placed(call: Call, new: Obj, old: Obj, owners: object = None) -> Obj:
    """Return the stored pod with the one part of `new`."""
    part, put = PARTS[call.subresource]
    if call.subresource == "resize":
        _same_containers({**new, "spec": new.get("spec") or {}}, old)
    metadata = {**old["metadata"], "resourceVersion": object_parts.pinned(new) or old["metadata"]["resourceVersion"]}
    if owners is not None:
        metadata["managedFields"] = owners
    return copy_obj({**old, "metadata": metadata, "spec": put(old["spec"], part(new.get("spec") or {}))})
