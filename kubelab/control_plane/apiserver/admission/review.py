"""The AdmissionReview that webhooks get and CEL expressions see as `request`, and what comes back.

Models:    admission.k8s.io/v1
"""

from __future__ import annotations

import uuid

from kubelab.control_plane.apiserver.admission.plugin import Attributes
from kubelab.control_plane.apiserver.call import Call
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units.answers import kind_of
from kubelab.units.scale import scale_of

API_VERSION = "admission.k8s.io/v1"
OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


IDENTITY = ("uid", "creationTimestamp", "generation", "resourceVersion")  # which an object gets after it was changed


def request_of(a: Attributes, *, early: bool = False) -> Obj:
    """Return what is asked, without the objects; `early`, before a new object has its identity."""
    call, kind = a.call, a.call.kind
    group, version, name = kind_of(kind, call.subresource)
    gvk = {"group": group, "version": version, "kind": name}
    gvr = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    out: Obj = {"uid": str(uuid.uuid4()), "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
                "operation": a.operation, "dryRun": call.dry_run,
                "userInfo": {"groups": [], **call.user.info}}
    if a.name and call.info.verb != "deletecollection" and not (early and call.generates):
        out["name"] = a.name
    if call.subresource:
        out["subResource"] = out["requestSubResource"] = call.subresource
    if a.namespace or kind.plural == "namespaces":
        out["namespace"] = a.namespace or a.name
    if a.operation in OPTIONS:
        out["options"] = {"kind": OPTIONS[a.operation], "apiVersion": "meta.k8s.io/v1",
                          **(_options(call) if a.operation != "DELETE" else a.options or {})}
    else:
        out["options"] = a.options
    return out


def _options(call: Call) -> Obj:
    """Return the options that the client gave to a write; a patch is told as the create or update that it is."""
    given: Obj = {key: call.query[key] for key in ("fieldManager", "fieldValidation") if call.query.get(key)}
    return given | {"dryRun": ["All"]} if call.dry_run else given


def objects_of(a: Attributes, *, early: bool) -> Obj:
    """Return the objects of a write as its client sees them."""
    own = a.call.kind.own
    paths = own.scale if own is not None else None
    shown = (lambda obj: scale_of(obj, paths)) if a.call.subresource == "scale" else a.call.outward
    new, old = shown(a.obj) if a.obj else None, shown(a.old) if a.old else None
    if new is not None and not a.call.subresource:
        new = {**new, "metadata": _metadata(a, new["metadata"], early)}
    return {"object": new, "oldObject": old}


def _metadata(a: Attributes, metadata: Obj, early: bool) -> Obj:
    """Return what metadata has before the store has given it the rest: `early`, not even an identity."""
    if a.operation == "CREATE":
        hidden = (*IDENTITY, "name" if a.call.generates else "") if early else ("resourceVersion",)
        return {key: value for key, value in metadata.items() if key not in hidden}
    return metadata


def review_of(a: Attributes, *, early: bool) -> Obj:
    """Return the whole review."""
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION,
            "request": request_of(a, early=early) | objects_of(a, early=early)}


def response_of(review: Obj, answer: Obj) -> Obj:
    """Return the response in an answer. Raises `ValueError` when it is not one to this review."""
    if answer.get("kind") != "AdmissionReview" or answer.get("apiVersion") != API_VERSION:
        gvk = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        raise ValueError(f"expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {gvk}")
    response, uid = answer.get("response"), review["request"]["uid"]
    if not isinstance(response, dict):
        raise ValueError("webhook response was absent")
    if response.get("uid") != uid:
        raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    if response.get("patch") and response.get("patchType") != "JSONPatch":
        raise ValueError('webhook returned response.patch but response.patchType was not "JSONPatch"')
    return response


def rejection(name: str, response: Obj) -> ApiError:
    """Return the refusal that a webhook's answer is."""
    given = response.get("status") or {}
    words = given.get("message") or given.get("reason") or ""
    message = f'admission webhook "{name}" denied the request' + (f": {words}" if words else " without explanation")
    return ApiError(max(int(given.get("code") or 0), 400), given.get("reason") or "", message, given.get("details"))


def failure(name: str, why: str) -> ApiError:
    """Return the answer when a webhook that must agree gave no answer."""
    text = f'failed calling webhook "{name}": {why}'
    return ApiError(500, "InternalError", f"Internal error occurred: {text}", {"causes": [{"message": text}]})
