"""Certificate signing: a request that somebody has approved gets its certificate from the cluster's authority.

    CSR event ─► approved, of a signer of Kubernetes, not yet signed? ─┬─► status.certificate
                                                                       └─► condition Failed: the signer refuses

Invariant: what is not approved, what has failed and what is signed already is left as it is.
Models:    kube-controller-manager, certificatesigningrequest-signing-controller
Left out:  approving a kubelet's requests by itself; tidying old requests away
"""

from __future__ import annotations

import base64

from kubelab.client import signing
from kubelab.client.client import Client
from kubelab.client.controller import Controller
from kubelab.client.informer import Informers
from kubelab.client.pki import Pki
from kubelab.machinery.clock import Clock, timestamp
from kubelab.machinery.journal import Journal
from kubelab.machinery.meta import get_condition
from kubelab.machinery.request import Obj

REQUESTS = "certificatesigningrequests.certificates.k8s.io"


def waits(csr: Obj) -> bool:
    """Say whether a request is approved and nobody has signed it yet, and it is ours to sign."""
    holds = {type_ for type_ in ("Approved", "Denied", "Failed")
             if (get_condition(csr, type_) or {}).get("status") == "True"}
    return (holds == {"Approved"} and csr["spec"].get("signerName") in signing.SIGNERS
            and not csr["status"].get("certificate"))


class CertificateSigningController(Controller):
    def __init__(self, name: str, client: Client, informers: Informers, *, clock: Clock, journal: Journal,
                 pki: Pki) -> None:
        self.client, self.pki, self.requests = client, pki, informers.of(REQUESTS)
        super().__init__(name, clock=clock, journal=journal, informers=(self.requests,))
        self.requests.on_event(self._on_request)

    def _on_request(self, type_: str, csr: Obj, old: Obj | None) -> None:
        if type_ != "DELETED" and waits(csr):
            self.queue.add(csr["metadata"]["name"])

    async def reconcile(self, key: str) -> None:
        csr = self.requests.get(key)
        if csr is None or not waits(csr):
            return
        status = {**csr["status"], **answer(self.pki, csr, self.clock.now())}
        await self.client.update(REQUESTS, {**csr, "status": status}, subresource="status")


def answer(pki: Pki, csr: Obj, now: float) -> Obj:
    """Return what becomes of the status of an approved request: its certificate, or why it failed."""
    from cryptography import x509

    spec, conditions = csr["spec"], csr["status"]["conditions"]
    request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    why = signing.refusal(request, spec["signerName"], spec["usages"])
    if why:
        failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                  "lastUpdateTime": timestamp(now)}
        return {"conditions": [*conditions, failed]}
    signed = signing.sign(pki, request, spec["usages"], spec.get("expirationSeconds"))
    return {"certificate": base64.b64encode(signed).decode()}
