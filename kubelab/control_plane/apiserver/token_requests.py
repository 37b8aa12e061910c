"""TokenRequest: a token for a service account, for some time, some audiences, and as long as one object is there.

    POST serviceaccounts/web/token ─► whose? how long? ─► admission ─► bound to which object? ─► issue

Invariant: a token bound to a pod is one of the account that the pod runs as.
Models:    pkg/registry/core/serviceaccount/storage/token.go of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Callable

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.admission.nodes import NODES, PREFIX, check_token
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import read_object
from kubelab.control_plane.apiserver.pipeline import Pipeline
from kubelab.machinery.errors import ApiError, bad_request, conflict, invalid, invalid_value, not_found
from kubelab.machinery.request import Obj, Response
from kubelab.units import object_parts
from kubelab.units.answers import AUTHN, TOKEN_REQUEST
from kubelab.units.tokens import TokenIssuer

MIN_S, DEFAULT_S, MAX_S = 600, 3600, 1 << 32
BOUND_TO = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
RECREATED = ("the UID in the bound object reference ({}) does not match the UID in record. The object might have been "
             "deleted and then recreated")


class TokenRequests:
    """The handler of `serviceaccounts/token`."""

    def __init__(self, pipeline: Pipeline, issuer: TokenIssuer | None,
                 get: Callable[[str, str, str], Obj | None]) -> None:
        self._pipeline, self._issuer, self._get = pipeline, issuer, get

    async def serve(self, call: Call) -> Response:
        """Issue a token. Raises `Invalid` for a life that is too short, `NotFound`, `BadRequest`, `Conflict`."""
        sent, call.strict = read_object(call.request, TOKEN_REQUEST)
        sent = prepare.check_schema(call, sent, TOKEN_REQUEST)
        _must_be_of(call, sent["metadata"])
        account, spec = call.stored.obj, dict(sent.get("spec") or {})
        seconds = spec["expirationSeconds"] = _life_s(spec)
        if self._issuer is None:
            raise ApiError(500, "InternalError", "Internal error occurred: this API server has no key for tokens")
        await self._pipeline.admission.create_part(call, sent)
        bound = self._bound_object(call, spec.get("boundObjectRef"))
        if NODES in call.user.groups and call.user.name.startswith(PREFIX):
            check_token(call.user.name, bound)
        audiences = spec["audiences"] = spec.get("audiences") or list(self._issuer.audiences)
        token, expires = self._issuer.issue(account, audiences=audiences, expires_s=seconds, bound_to=bound)
        metadata = object_parts.ordered({**sent["metadata"], "name": call.info.name, "namespace": call.namespace,
                                         "creationTimestamp": self._pipeline.stamp()})
        del metadata["resourceVersion"]
        return Response(201, {"kind": "TokenRequest", "apiVersion": f"{AUTHN}/v1", "metadata": metadata, "spec": spec,
                              "status": {"token": token, "expirationTimestamp": expires}})

    def _bound_object(self, call: Call, ref: Obj | None) -> Obj | None:
        """Return the object that a token ends with."""
        if not ref:
            return None
        kind, name, (group, _, version) = ref.get("kind", ""), ref.get("name", ""), \
            ref.get("apiVersion", "").rpartition("/")
        plural = BOUND_TO.get(kind)
        if plural is None or group:
            raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        found = self._get(plural, "" if kind == "Node" else call.namespace, name)
        if found is None:
            raise not_found("", plural, name)
        if kind == "Pod" and found["spec"].get("serviceAccountName") != call.info.name:
            raise bad_request(f'cannot bind token for serviceaccount "{call.info.name}" to pod running with different '
                              "serviceaccount name.")
        if ref.get("uid") and ref["uid"] != found["metadata"]["uid"]:
            raise conflict("", kind, name, RECREATED.format(ref["uid"]))
        return found


def _life_s(spec: Obj) -> int:
    seconds: int = spec.get("expirationSeconds", DEFAULT_S)
    if not MIN_S <= seconds <= MAX_S:
        why = "less than 10 minutes" if seconds < MIN_S else "larger than 2^32 seconds"
        raise invalid(AUTHN, "TokenRequest", "", [invalid_value("spec.expirationSeconds", seconds,
                                                                f"may not specify a duration {why}")])
    return seconds


def _must_be_of(call: Call, metadata: Obj) -> None:
    """Refuse a request for a token that names another account than its URL."""
    for key, own in (("name", call.info.name), ("namespace", call.namespace)):
        if metadata.get(key) and metadata[key] != own:
            raise invalid(AUTHN, "TokenRequest", call.info.name, [invalid_value(
                f"metadata.{key}", metadata[key], f"must match the service account {key} if specified")])
