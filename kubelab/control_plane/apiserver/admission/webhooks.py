"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: admission by whoever runs an HTTPS server.

    write ─► rules, selectors, matchConditions ─► AdmissionReview ─► allowed? patch? warnings?

Invariant: mutating webhooks see each other's changes in order; validating ones see the final object, all at once.
Models:    k8s.io/apiserver/pkg/admission/plugin/webhook
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Iterator

import orjson

from kubelab.control_plane.apiserver.admission import webhook_metrics
from kubelab.control_plane.apiserver.admission.dynamic import Dynamic, adopt
from kubelab.control_plane.apiserver.admission.matching import (
    any_rule_matches,
    conditions_hold,
    selectors_match,
    version_wanted,
)
from kubelab.control_plane.apiserver.admission.plugin import Attributes
from kubelab.control_plane.apiserver.admission.review import failure, rejection, response_of, review_of
from kubelab.control_plane.apiserver.crd_storage import VersionCollection
from kubelab.control_plane.apiserver.webhook_client import WebhookFailed
from kubelab.machinery.cel import CelError
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.patch import json_patch
from kubelab.machinery.request import Obj


class _Webhooks(Dynamic):
    type = ""  # as metrics name it

    def hooks(self) -> Iterator[tuple[str, Obj]]:
        """Yield every webhook with a name of its own, in the order of their configurations."""
        for configuration in self.objects("admissionregistration.k8s.io", self.plural):
            for i, hook in enumerate(configuration.get("webhooks") or ()):
                yield f"{self.plural}/{configuration['metadata']['name']}/{i}", hook

    def matches(self, hook: Obj, a: Attributes) -> bool:
        """Say whether a webhook is to be asked. Raises `Forbidden` when its conditions fail and it must agree."""
        if not any_rule_matches(hook.get("rules") or (), a, equivalent=hook.get("matchPolicy") != "Exact") \
                or not selectors_match(hook, a, self.namespace_of):
            return False
        if hook.get("matchConditions"):
            try:
                with self.expressions(a) as data:
                    del data["namespaceObject"]
                    return conditions_hold(hook["matchConditions"], data)
            except CelError as error:
                if hook.get("failurePolicy") == "Ignore":
                    return False
                raise a.forbidden(str(error)) from None
        return True

    async def reviewed(self, hook: Obj, a: Attributes) -> Obj:
        """Return the review for a webhook, in the version of a custom resource that its rules name."""
        review, collection = review_of(a, early=self.early), a.call.collection
        version = version_wanted(hook.get("rules") or (), a)
        if isinstance(collection, VersionCollection) and version != a.call.kind.version:
            request = review["request"]
            for key in ("object", "oldObject"):
                if request[key]:
                    request[key] = await collection.converted(request[key], f"{a.call.kind.group}/{version}")
            request["kind"] = {**request["kind"], "version": version}
            request["resource"] = {**request["resource"], "version": version}
        return review

    async def ask(self, hook: Obj, review: Obj, a: Attributes) -> Obj:
        """Return the response of a webhook; {} where it gave none and need not. Raises what it refuses with."""
        name, called = hook["name"], webhook_metrics.Called(hook["name"], self.type, a.operation)
        if a.call.dry_run and hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            called.broken()
            raise bad_request(f'admission webhook "{name}" does not support dry run')
        try:
            answer = await self.outside.webhooks.call(hook["clientConfig"], review, hook.get("timeoutSeconds") or 10)
            response = response_of(review, answer)
        except (WebhookFailed, ValueError) as error:
            ignored = hook.get("failurePolicy") == "Ignore"
            called.failed(400 if isinstance(error, WebhookFailed) else 503, ignored=ignored)
            if ignored:
                return {}
            what = "failed to call webhook" if isinstance(error, WebhookFailed) else "received invalid webhook response"
            raise failure(name, f"{what}: {error}") from None
        a.call.warnings += response.get("warnings") or ()
        for key, value in (response.get("auditAnnotations") or {}).items():
            a.call.audit[f"{name}/{key}"] = value
        if not response.get("allowed"):
            refused = rejection(name, response)
            called.refused(refused.code)
            raise refused
        called.agreed()
        return response


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    plural, type, early = "mutatingwebhookconfigurations", "admit", True

    def admit(self, a: Attributes) -> Awaitable[None] | None:
        return self._admit(a) if self.concerns(a) else None

    async def _admit(self, a: Attributes) -> None:
        for key, hook in self.hooks():
            if a.runs(key) and self.matches(hook, a):
                review = await self.reviewed(hook, a)
                response = await self.ask(hook, review, a)
                if response.get("patch") and a.obj and a.call.subresource in ("", "status"):
                    await self._patch(a, review["request"]["object"], response["patch"])
                a.ran(key, hook.get("reinvocationPolicy") == "IfNeeded")

    async def _patch(self, a: Attributes, reviewed: Obj, patch: str) -> None:
        try:
            new = json_patch(reviewed, orjson.loads(base64.b64decode(patch)))
        except (ValueError, ApiError) as error:
            raise ApiError(500, "InternalError", f"Internal error occurred: {error}") from None
        if isinstance(a.call.collection, VersionCollection):
            new = await a.call.collection.converted(new, a.call.kind.api_version)
        if adopt(a, new):
            a.changed()


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    plural, type = "validatingwebhookconfigurations", "validating"

    def validate(self, a: Attributes) -> Awaitable[None] | None:
        return self._validate(a) if self.concerns(a) else None

    async def _validate(self, a: Attributes) -> None:
        asked = [self.ask(hook, await self.reviewed(hook, a), a) for _, hook in self.hooks() if self.matches(hook, a)]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
