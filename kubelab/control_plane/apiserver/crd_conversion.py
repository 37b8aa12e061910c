"""Conversion of custom resources between versions by a webhook.

    objects in v1 ─► POST ConversionReview ─► the webhook ─► the same objects in v2, metadata as it was

Invariant: a webhook changes no metadata but labels and annotations.
Models:    apiextensions-apiserver/pkg/apiserver/conversion, webhook_converter.go
"""

from __future__ import annotations

import uuid
from typing import Any

from kubelab.control_plane.apiserver.decode import as_kind
from kubelab.control_plane.apiserver.webhook_client import WebhookClient, WebhookFailed
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.object_parts import carry, ordered

TIMEOUT_S = 30.0
FREE = ("labels", "annotations")


class WebhookConverter:
    """Asks one CRD's webhook."""

    def __init__(self, crd: Obj, client: WebhookClient) -> None:
        webhook = crd["spec"]["conversion"]["webhook"]
        self._client, self._config = client, webhook["clientConfig"]
        self._review = "v1" if "v1" in webhook["conversionReviewVersions"] else "v1beta1"
        self._group_kind = f"{crd['spec']['group']}/{{}}, Kind={crd['spec']['names']['kind']}"

    async def __call__(self, objects: list[Obj], target: str) -> list[Obj]:
        """Return the objects (one at least) in another version.

        Raises `ApiError`, as kube-apiserver words a webhook's failure.
        """
        uid = str(uuid.uuid4())
        review = {"kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{self._review}",
                  "request": {"uid": uid, "desiredAPIVersion": target, "objects": objects}}
        try:
            answer = (await self._client.call(self._config, review, TIMEOUT_S)).get("response") or {}
        except WebhookFailed as error:
            raise self._failed(objects, str(error)) from None
        result, converted = answer.get("result") or {}, answer.get("convertedObjects") or []
        if result.get("status") != "Success":
            raise self._failed(objects, result.get("message") or "no message")
        if answer.get("uid") != uid or len(converted) != len(objects):
            raise self._failed(objects, f"expected {len(objects)} converted objects, got {len(converted)}")
        return [self._checked(old, new, target) for old, new in zip(objects, converted, strict=True)]

    def _checked(self, old: Obj, new: Any, target: str) -> Obj:
        if not isinstance(new, dict) or new.get("apiVersion") != target or new.get("kind") != old["kind"]:
            raise self._failed([old], f"invalid converted object: not a {old['kind']} of {target}")
        metadata = {**old["metadata"]}
        carry(metadata, new.get("metadata") or {}, FREE)
        group, _, version = target.rpartition("/")
        return as_kind({**new, "metadata": ordered(metadata)}, Kind(old["kind"], "", group, version))

    def _failed(self, objects: list[Obj], why: str) -> ApiError:
        version = objects[0]["apiVersion"].rpartition("/")[2]
        return ApiError(500, "InternalError", "Internal error occurred: conversion webhook for "
                        f"{self._group_kind.format(version)} failed: {why}")
