"""The AdmissionReview that webhooks get and CEL expressions see as `request`, and what comes back.

Models:    admission.k8s.io/v1
"""

from __future__ import annotations

import uuid

from kubelab.control_plane.apiserver.admission.plugin import Attributes
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units.answers import kind_of
from kubelab.units.scale import scale_of

API_VERSION = "admission.k8s.io/v1"
OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def request_of(a: Attributes) -> Obj:
    """Return what is asked, without the objects."""
    call, kind = a.call, a.call.kind
    group, version, name = kind_of(kind, call.subresource)
    gvk = {"group": group, "version": version, "kind": name}
    gvr = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    out: Obj = {"uid": str(uuid.uuid4()), "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
                "name": a.name, "operation": a.operation, "dryRun": call.dry_run,
                "userInfo": {"groups": [], **call.user.info}}
    if call.subresource:
        out["subResource"] = out["requestSubResource"] = call.subresource
    if a.namespace or kind.plural == "namespaces":
        out["namespace"] = a.namespace or a.name
    options: Obj = {**(a.options or {})}
    if a.operation in OPTIONS:
        verb = call.info.verb
        options |= {"kind": "PatchOptions" if verb == "patch" else OPTIONS[a.operation],
                    "apiVersion": "meta.k8s.io/v1"}
        if call.manager and a.operation != "DELETE":
            options["fieldManager"] = call.manager
    out["options"] = options or None
    return out


def review_of(a: Attributes) -> Obj:
    """Return the whole review."""
    shown = scale_of if a.call.subresource == "scale" else a.call.outward
    objects = {"object": shown(a.obj) if a.obj else None, "oldObject": shown(a.old) if a.old else None}
    return {"kind": "AdmissionReview", "apiVersion": API_VERSION, "request": request_of(a) | objects}


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
