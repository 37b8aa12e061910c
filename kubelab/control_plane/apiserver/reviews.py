"""Reviews: questions put as objects. Who am I, may I, may they, whose token is this? Nothing of it is stored.

Models: the authentication.k8s.io and authorization.k8s.io registries of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kubelab.control_plane.apiserver import prepare
from kubelab.control_plane.apiserver.authentication import Authenticator
from kubelab.control_plane.apiserver.call import Call
from kubelab.control_plane.apiserver.decode import read_object
from kubelab.machinery import apply
from kubelab.machinery.errors import bad_request, invalid
from kubelab.machinery.negotiation import only_json
from kubelab.machinery.options import manager_of
from kubelab.machinery.request import Obj, Response, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.access_reviews import LOCAL, review_errors, selected
from kubelab.units.answers import AUTHZ, REVIEWS
from kubelab.units.authorization import Authorizer
from kubelab.units.catalogue import Kind
from kubelab.units.tokens import UNKNOWN, InvalidToken

Answer = Callable[[Call, Obj], Obj]


class Reviews:
    """Handlers for the registry, one a kind of review."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, stamp: Callable[[], str]) -> None:
        self._authenticator, self._authorizer, self._stamp = authenticator, authorizer, stamp

    def handlers(self) -> dict[tuple[str, str, str], Callable[[Call], Awaitable[Response]]]:
        answers: dict[str, Answer] = {
            "SelfSubjectReview": self._who_am_i, "TokenReview": self._whose_token,
            "SelfSubjectAccessReview": self._may_i, "SubjectAccessReview": self._may_they,
            "LocalSubjectAccessReview": self._may_they, "SelfSubjectRulesReview": self._what_may_i}
        return {(kind.group, kind.version, kind.plural): self._handler(kind, answers[kind.kind]) for kind in REVIEWS}

    def _handler(self, kind: Kind, answer: Answer) -> Callable[[Call], Awaitable[Response]]:
        async def handle(call: Call) -> Response:
            only_json(call.request)
            sent, _ = read_object(call.request, kind)
            review = prepare.check_schema(call, sent, kind)
            self._track(call, review)
            status = answer(call, review)
            return Response(201, {**review, "status": status})

        return handle

    def _track(self, call: Call, review: Obj) -> None:
        """Note who wrote the question, as for any object; one about oneself has only a time, or nothing."""
        if review["kind"] == "SelfSubjectReview":
            review["metadata"] = {"creationTimestamp": self._stamp()}
        elif review["kind"] != "SelfSubjectRulesReview":
            if review["kind"] == LOCAL:
                review.setdefault("metadata", {})["namespace"] = call.info.namespace
            manager = manager_of(call.request.headers.get("user-agent", ""))
            apply.track_update(None, review, manager, "Update", "", self._stamp())

    def _who_am_i(self, call: Call, review: Obj) -> Obj:
        return {"userInfo": call.user.info}

    def _whose_token(self, call: Call, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        try:
            verified = self._authenticator.review(spec["token"], spec.get("audiences") or ())
        except InvalidToken as error:  # the server's own token is tried first
            why = str(error)
            return {"user": {}, "error": UNKNOWN if why == UNKNOWN else f"[{UNKNOWN}, {why}]"}
        out: Obj = {"authenticated": True, "user": verified.user.info}
        return out | ({"audiences": list(verified.audiences)} if verified.audiences else {})

    def _may_i(self, call: Call, review: Obj) -> Obj:
        return self._decide(call.user, self._asked(review))

    def _may_they(self, call: Call, review: Obj) -> Obj:
        asked, spec = self._asked(review), review["spec"]
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
        return self._decide(user, asked)

    def _asked(self, review: Obj) -> RequestInfo:
        errors = review_errors(review)
        if errors:
            raise invalid(AUTHZ, "", "", errors)
        resource, path = (review["spec"].get(part) for part in ("resourceAttributes", "nonResourceAttributes"))
        if path is not None:
            return RequestInfo(path.get("verb", ""), path.get("path", ""))
        return RequestInfo(resource.get("verb", ""), "", resource.get("group", ""), resource.get("version", ""),
                           resource.get("namespace", ""), resource.get("resource", ""), resource.get("name", ""),
                           resource.get("subresource", ""), selected_node=selected(resource, "spec.nodeName"))

    def _decide(self, user: User, asked: RequestInfo) -> Obj:
        allowed, reason = self._authorizer.authorize(user, asked)
        return {"allowed": allowed, **({"reason": reason} if reason else {})}

    def _what_may_i(self, call: Call, review: Obj) -> Obj:
        namespace = (review.get("spec") or {}).get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        review["metadata"], review["spec"] = {}, {}
        resources, paths = self._authorizer.rules_of(call.user, namespace)
        return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
