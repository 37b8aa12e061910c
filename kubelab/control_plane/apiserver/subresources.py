"""Subresources that write a part of their parent: scale, binding, eviction, finalize, and which there are besides.

    PUT deployments/web/scale ─► the Deployment with other spec.replicas ─► the pipeline, as any write
    POST pods/web-1/binding ──► spec.nodeName and the PodScheduled condition, nothing else

Invariant: a pod is bound once.
Models:    the storage of pods, apps and serviceaccounts in kube-apiserver
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kubelab.control_plane.apiserver import patching, prepare, scale_apply, writing
from kubelab.control_plane.apiserver.call import Call, invalid_options
from kubelab.control_plane.apiserver.decode import read_object
from kubelab.control_plane.apiserver.deleting import DeleteOptions, Deleter
from kubelab.control_plane.apiserver.eviction import Budgets
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.control_plane.apiserver.pod_parts import PARTS, PodParts
from kubelab.control_plane.apiserver.present import presentation
from kubelab.control_plane.apiserver.storage import Changed
from kubelab.control_plane.apiserver.token_requests import TokenRequests
from kubelab.machinery import jsonpath
from kubelab.machinery.errors import (
    STALE,
    FieldError,
    bad_request,
    conflict,
    invalid,
    required,
)
from kubelab.machinery.meta import copy_obj, with_condition
from kubelab.machinery.options import delete_errors
from kubelab.machinery.request import Encoded, Obj, Response
from kubelab.machinery.routes import is_true
from kubelab.units import object_parts
from kubelab.units.answers import BINDING, EVICTION
from kubelab.units.catalogue import Kind
from kubelab.units.rules import unsupported
from kubelab.units.scale import SCALE, no_replicas, scale_of, with_replicas
from kubelab.units.tokens import TokenIssuer

SUCCESS: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Subresources:
    """Handlers for the registry, one a subresource."""

    def __init__(self, pipeline: Pipeline, deleter: Deleter, issuer: TokenIssuer | None,
                 get: Callable[[str, str, str], Obj | None]) -> None:
        self._pipeline, self._deleter = pipeline, deleter
        self._parts, self._tokens = PodParts(pipeline), TokenRequests(pipeline, issuer, get)
        self._budgets = Budgets(pipeline.storage, pipeline.clock)

    def handlers(self) -> dict[tuple[str, str], Callable[[Call], Awaitable[Response]]]:
        return {("*", "scale"): self.scale, ("pods", "binding"): self.binding, ("pods", "eviction"): self.eviction,
                **{("pods", part): self._parts.serve for part in PARTS},
                ("serviceaccounts", "token"): self._tokens.serve, ("namespaces", "finalize"): self.finalize}

    # ── scale ────────────────────────────────────────────────────────────────────────────────────────────────

    async def scale(self, call: Call) -> Response:
        """Read or write how many replicas there should be, without knowing what kind of thing has replicas."""
        paths = call.kind.own.scale if call.kind.own is not None else None
        if call.info.verb == "get":
            form = presentation(replace(call, kind=SCALE), self._pipeline.clock.now)
            if paths is not None and jsonpath.first(paths["specReplicasPath"], call.stored.obj) is None:
                raise no_replicas(paths)
            shown = scale_of(call.stored.obj, paths)
            return Response(200, shown if form is None else form.one(shown))
        manifest, force = None, is_true(call.query.get("force"))
        if call.info.verb == "patch" and patching.format_of(call) == "apply":
            as_scale = replace(call, kind=SCALE)
            manifest = prepare.check_schema(as_scale, writing.read_applied_part(as_scale), SCALE)
            call.operation = "Apply"

        def scaled(old: Obj) -> Obj:
            if manifest is not None:
                wanted = manifest
                new = scale_apply.applied(call, old, manifest, force, self._pipeline.stamp(), paths)
            else:
                wanted = self._sent(call, scale_of(old, paths))
                new = with_replicas(copy_obj(old), wanted, paths)
            if paths is not None and "replicas" not in (wanted.get("spec") or {}):
                raise bad_request(f'the spec replicas field "{paths["specReplicasPath"]}" cannot be empty')
            self._same(call, old, wanted)
            new["metadata"]["resourceVersion"] = object_parts.pinned(wanted) or old["metadata"]["resourceVersion"]
            return new

        body, _ = await writing.on_stored(call, self._pipeline, scaled)
        return Response(200, scale_of(body.obj, paths))

    def _same(self, call: Call, old: Obj, scale: Obj) -> None:
        """Raise `Conflict` when a Scale is of another object of that name."""
        given, uid = scale["metadata"].get("uid"), old["metadata"]["uid"]
        if given and given != uid:
            raise conflict(call.kind.group, f"{call.kind.plural}/scale", call.info.name, "Precondition failed: UID in "
                           f"precondition: {given}, UID in object meta: {uid}")

    def _sent(self, call: Call, old: Obj) -> Obj:
        """Return the Scale that a PUT brings or a PATCH makes of `old`."""
        if call.info.verb == "patch":
            format_ = patching.format_of(call)
            return patching.patched(call, SCALE, old, format_, patching.read_patch(call, format_))
        sent, call.strict = read_object(call.request, SCALE)
        prepare.must_be_named(call, sent)
        return prepare.check_schema(call, sent, SCALE)

    # ── pods ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def binding(self, call: Call) -> Response:
        """Put a pod on a node. Raises `Conflict` when it is on one already."""
        sent = self._read(call, BINDING)
        if (sent["metadata"].get("name") or "") != call.info.name:
            raise bad_request("name in URL does not match name in Binding object")
        target = sent.get("target") or {}
        errors: list[FieldError] = []
        if target.get("kind") not in (None, "", "Node"):
            errors.append(unsupported("target.kind", target["kind"], ("Node", "<empty>")))
        if not target.get("name"):
            errors.append(required("target.name"))
        if errors:
            raise invalid("", "Binding", sent["metadata"].get("name", ""), errors)

        def bound(pod: Obj) -> Obj:
            return self._bound(call, pod, sent["metadata"], target["name"])

        await self._pipeline.admission.create_part(call, sent)
        await self._change(call, bound)
        if not call.dry_run:
            self._pipeline.journal.record("bind", target["name"], f"pods/{call.key}", actor=call.user.name)
        return Response(201, SUCCESS)

    def _bound(self, call: Call, pod: Obj, sent: Obj, node: str) -> Obj:
        metadata, spec, name = pod["metadata"], pod["spec"], call.info.name
        why = ""
        if sent.get("uid") and sent["uid"] != metadata["uid"]:
            why = f"Precondition failed: UID in precondition: {sent['uid']}, UID in object meta: {metadata['uid']}"
        elif "deletionTimestamp" in metadata:
            why = f"pod {name} is being deleted, cannot be assigned to a host"
        elif spec.get("nodeName"):
            why = f"pod {name} is already assigned to node \"{spec['nodeName']}\""
        elif spec.get("schedulingGates"):
            why = f"pod {name} has non-empty .spec.schedulingGates"
        if why:
            raise conflict("", "pods/binding", name, why)
        if sent.get("annotations"):
            metadata = {**metadata, "annotations": {**(metadata.get("annotations") or {}), **sent["annotations"]}}
        if sent.get("labels"):
            metadata = {**metadata, "labels": {**sent["labels"], **(metadata.get("labels") or {})}}
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None,
                     "lastTransitionTime": self._pipeline.stamp(), "observedGeneration": metadata.get("generation", 1)}
        return {**pod, "metadata": object_parts.ordered(metadata), "spec": {**spec, "nodeName": node},
                "status": with_condition(pod, scheduled)}

    async def eviction(self, call: Call) -> Response:
        """Ask a pod to leave: it is deleted gracefully, with a condition that says why."""
        sent = self._read(call, EVICTION)
        if errors := delete_errors(sent.get("deleteOptions") or {}):
            raise invalid_options("DeleteOptions", errors)
        options = DeleteOptions.of(sent.get("deleteOptions") or {}, call.dry_run)
        if sent["metadata"].get("name") != call.info.name:
            raise bad_request("name in URL does not match name in Eviction object")
        pod = call.stored.obj
        await self._pipeline.admission.create_part(call, sent)
        await self._budgets.spare(pod, dry_run=options.dry_run)
        if not options.dry_run and "deletionTimestamp" not in pod["metadata"]:
            self._deleter.check(call, options, call.stored.obj)
            await self._change(call, self._targeted)
            options = replace(options, resource_version="")  # it has been looked at, and is another now
        await self._deleter.delete(call, options)
        return Response(201, SUCCESS)

    def _targeted(self, pod: Obj) -> Obj:
        target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                  "message": "Eviction API: evicting", "lastProbeTime": None,
                  "lastTransitionTime": self._pipeline.stamp(),
                  "observedGeneration": pod["metadata"].get("generation", 1)}
        return {**pod, "metadata": {**pod["metadata"]}, "status": with_condition(pod, target)}

    # ── others ───────────────────────────────────────────────────────────────────────────────────────────────

    async def finalize(self, call: Call) -> Response:
        """Take a finalizer off a namespace; with the last one it is gone."""
        sent = self._read(call, call.kind)
        prepare.must_be_named(call, sent)
        finalizers = (sent.get("spec") or {}).get("finalizers") or []
        version = object_parts.pinned(sent)

        def emptied(old: Obj) -> Obj:
            if version and version != old["metadata"]["resourceVersion"]:
                raise conflict("", "namespaces", call.info.name, STALE)
            spec = {key: value for key, value in (old.get("spec") or {}).items() if key != "finalizers"}
            if finalizers:
                spec["finalizers"] = finalizers
            new = {**old, "metadata": {**old["metadata"]}, "spec": spec}
            errors = call.kind.validate_part(new, old, "finalize")
            if errors:
                raise invalid("", "Namespace", call.info.name, errors)
            return new

        return Response(200, await self._change(call, emptied))

    def _read(self, call: Call, kind: Kind) -> Obj:
        """Return the body of a request, of the types that its kind has and for its namespace. Raises `BadRequest`."""
        sent, call.strict = read_object(call.request, kind)
        prepare.place(call, sent)
        return prepare.check_schema(call, sent, kind)

    async def _change(self, call: Call, make: Callable[[Obj], Obj]) -> Encoded:
        """Store what `make` makes of the object, beside admission and validation."""
        stored = call.stored
        if call.dry_run:
            make(stored.obj)
            return stored
        try:
            return await self._pipeline.storage.change(call.collection, call.key, make) or call.stored
        except Changed:
            raise conflict(call.kind.group, call.kind.plural, call.info.name, STALE) from None
