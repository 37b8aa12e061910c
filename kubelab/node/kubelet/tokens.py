"""Service account tokens for pods: asked from the API server, bound to the pod, renewed at 80 % of their life.

Models:    pkg/kubelet/token
"""

from __future__ import annotations

from kubelab.machinery.clock import parse_timestamp
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj
from kubelab.node.kubelet.context import Context
from kubelab.node.kubelet.payload import VolumeError

RENEW_AT = 0.8
MAX_AGE_S = 24 * 3600.0


class Tokens:
    """The tokens that this node's pods hold."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._held: dict[tuple[str, str, int], tuple[str, float]] = {}  # (uid, audience, seconds) -> token, renew at

    async def get(self, pod: Obj, source: Obj) -> tuple[str, float]:
        """Return a token for one projected source and in how many seconds it is to be renewed. Raises VolumeError."""
        seconds = int(source.get("expirationSeconds", 3600))
        key = (pod["metadata"]["uid"], source.get("audience", ""), seconds)
        now = self.context.clock.now()
        held = self._held.get(key)
        if held is None or now >= held[1]:
            held = self._held[key] = await self._request(pod, source.get("audience", ""), seconds)
        return held[0], max(1.0, held[1] - now)

    async def _request(self, pod: Obj, audience: str, seconds: int) -> tuple[str, float]:
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        spec: Obj = {"expirationSeconds": seconds, "boundObjectRef": bound}
        if audience:
            spec["audiences"] = [audience]
        order = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        try:
            answer: Obj = await self.context.client.raw("POST", path, body=order)
        except ApiError as error:
            raise VolumeError(f"failed to fetch token: {error.message}") from error
        now = self.context.clock.now()
        lives_s = parse_timestamp(answer["status"]["expirationTimestamp"]) - now
        return answer["status"]["token"], now + min(lives_s, MAX_AGE_S) * RENEW_AT

    def forget(self, uid: str) -> None:
        for key in [k for k in self._held if k[0] == uid]:
            del self._held[key]
