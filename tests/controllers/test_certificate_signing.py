"""Certificate requests: approved ones are signed, refused ones fail, others are left alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509

from kubelab.client.pki import Pki
from kubelab.client.signing import CLIENT
from tests.client.test_signing import request

REQUESTS = "certificatesigningrequests"


def manifest(name: str, usages: list[str], signer: str = CLIENT) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": base64.b64encode(request().public_bytes(Encoding.PEM)).decode(), "usages": usages,
                     "signerName": signer}}


async def decide(world: Any, csr: Any, decision: str = "Approved") -> None:
    condition = {"type": decision, "status": "True", "reason": "r", "message": "m"}
    await world.client.update(REQUESTS, {**csr, "status": {"conditions": [condition]}}, subresource="approval")


async def test_an_approved_request_gets_its_certificate(make_world: Any) -> None:
    """The certificate is of the cluster's authority, for the one who asked."""
    pki = Pki.open(None)
    world = await make_world(signing_pki=pki)
    await decide(world, await world.client.create(REQUESTS, manifest("jane", ["client auth"])))

    async def issued() -> Any:
        return (await world.client.get(REQUESTS, "jane"))["status"].get("certificate")

    made = x509.load_pem_x509_certificate(base64.b64decode(await world.until(issued)))
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca_pem))
    assert made.subject.rfc4514_string() == "CN=jane,O=dev"


@pytest.mark.parametrize(("decision", "usages", "signer", "condition"), [
    ("Approved", ["server auth"], CLIENT, "Failed"), ("Denied", ["client auth"], CLIENT, "Denied"),
    ("Approved", ["client auth"], "example.com/mine", "Approved")])
async def test_no_other_request_is_signed(make_world: Any, decision: str, usages: list[str], signer: str,
                                          condition: str) -> None:
    """What the signer refuses fails with its reason; what is denied, or another's to sign, stays as it is."""
    world = await make_world(signing_pki=Pki.open(None))
    await decide(world, await world.client.create(REQUESTS, manifest("first", usages, signer)), decision)
    await decide(world, await world.client.create(REQUESTS, manifest("last", ["client auth"])))

    async def all_seen() -> Any:
        last, first = [await world.client.get(REQUESTS, name) for name in ("last", "first")]
        return first["status"] if last["status"].get("certificate") else None

    status = await world.until(all_seen)
    assert "certificate" not in status and status["conditions"][-1]["type"] == condition
    if condition == "Failed":
        assert status["conditions"][-1]["message"] == "invalid usage for client certificate: server auth"
