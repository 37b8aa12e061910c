"""OpenAPI: the API's own description, as kubectl explain, apply and diff read it.

    /openapi/v3                index: a document for each group version, with the hash of its content
    /openapi/v3/apis/apps/v1   paths and schemas of one group version
    /openapi/v2                everything in one document

Invariant: a document is built when first asked for and kept as bytes; the hash in the index changes with its content.
Models:    k8s.io/kube-openapi handler and handler3
Left out:  the protobuf form of v3
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.utils import formatdate

import orjson

from kubelab.machinery import openapi_protobuf
from kubelab.machinery.clock import Clock
from kubelab.machinery.negotiation import tagged
from kubelab.machinery.request import Request, Response
from kubelab.units.answers import VIRTUAL
from kubelab.units.catalogue import Kind
from kubelab.units.openapi import digest as digest_of
from kubelab.units.openapi import version_2, version_3

YEAR_S = 365 * 86_400
PROTOBUF = "protobuf"  # the document that is kept under this name is version 2 in that form


class OpenApi:
    """The documents of a set of kinds."""

    def __init__(self, kinds: Iterable[Kind], clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[str, list[Kind]] = {}  # "apis/apps/v1" -> its kinds
        for kind in (*kinds, *VIRTUAL):
            self._versions.setdefault(kind.root.strip("/"), []).append(kind)
        self._own = dict(self._versions)
        self._built: dict[str, bytes] = {}
        self.elsewhere: Mapping[tuple[str, str], str] = {}  # where other servers describe their group versions

    def publish(self, custom: Iterable[Kind]) -> None:
        """Describe these kinds besides our own from now on."""
        versions = {version: list(kinds) for version, kinds in self._own.items()}
        for kind in custom:
            versions.setdefault(kind.root.strip("/"), []).append(kind)
        changed = {v for v in {*versions, *self._versions} if versions.get(v) != self._versions.get(v)}
        self._versions = versions
        for version in (*changed, "", PROTOBUF):
            self._built.pop(version, None)

    def answer(self, request: Request) -> Response | None:
        """Answer a request below /openapi; None where there is nothing."""
        path = request.path.rstrip("/")
        if path == "/openapi/v3":
            urls = {version: f"/openapi/v3/{version}?hash={self._hash(version)}" for version in sorted(self._versions)}
            urls |= {f"apis/{group}/{version}": url for (group, version), url in self.elsewhere.items()}
            return Response(200, {"paths": {version: {"serverRelativeURL": url} for version, url in urls.items()}})
        version = path.removeprefix("/openapi/v3/")
        if path == "/openapi/v2":
            version = ""
        elif version not in self._versions:
            return None
        digest, hash_ = self._hash(version), request.query.get("hash", "")
        headers = {"content-type": "application/json"}
        if version and hash_ and hash_ != digest:
            return Response(301, b"", {"location": f"/openapi/v3/{version}?hash={digest}"})
        if version and hash_:  # under this address it will never say anything else
            headers |= {"cache-control": "public, immutable",
                        "expires": formatdate(self._clock.now() + YEAR_S, usegmt=True)}
        if not version and any(media in request.headers.get("accept", "") for media in openapi_protobuf.ASKED):
            return tagged(request, digest, self._protobuf, {"content-type": openapi_protobuf.MEDIA})
        return tagged(request, digest, lambda: self._json(version), headers)

    def _json(self, version: str) -> bytes:
        if version not in self._built:
            self._built[version] = version_3(self._versions[version]) if version else version_2(self._all())
        return self._built[version]

    def _protobuf(self) -> bytes:
        if PROTOBUF not in self._built:
            self._built[PROTOBUF] = openapi_protobuf.document(orjson.loads(self._json("")))
        return self._built[PROTOBUF]

    def _hash(self, version: str) -> str:
        return digest_of(self._versions[version] if version else self._all())

    def _all(self) -> list[Kind]:
        return [kind for kinds in self._versions.values() for kind in kinds]
