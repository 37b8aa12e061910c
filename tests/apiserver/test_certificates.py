"""Certificate requests: who asked is written down, decisions and certificates come by their own subresources."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kubelab.machinery.request import Obj

from .conftest import World, refused

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
APPROVED = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Why", "message": "yes"}]}}


def request(organisation: str = "devs", signer: str = "kubernetes.io/kube-apiserver-client") -> Obj:
    """Return a request signed by a fresh key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me"),
                      x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(ec.generate_private_key(ec.SECP256R1()),
                                                                          hashes.SHA256())
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = base64.b64encode(csr.public_bytes(Encoding.PEM)).decode()
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "me"},
            "spec": {"request": pem, "signerName": signer, "usages": ["client auth"], "username": "someone-else"}}


async def test_a_request_says_who_asked_and_is_decided_by_approval(world: World) -> None:
    """The asker is the user; approval writes a stamped condition, the plain object and the status cannot."""
    created = await world.client.create("certificatesigningrequests", request())
    assert created["spec"]["username"] == "kubernetes-admin" and "system:masters" in created["spec"]["groups"]
    error = await refused(world.client.patch("csr", "me", APPROVED, type="merge", subresource="status"))
    assert 'updates may not add a condition of type "Approved"' in error.message
    approved = await world.client.patch("csr", "me", APPROVED, type="merge", subresource="approval")
    assert approved["status"]["conditions"][0]["lastUpdateTime"]
    assert approved["spec"] == created["spec"]
    both = {"status": {"conditions": [*APPROVED["status"]["conditions"], {"type": "Denied", "status": "True"}]}}
    error = await refused(world.client.patch("csr", "me", both, type="merge", subresource="approval"))
    assert "Approved and Denied conditions are mutually exclusive" in error.message


async def test_nobody_asks_for_the_masters_group(world: World) -> None:
    """A client certificate of system:masters is refused when it is asked for."""
    error = await refused(world.client.create("csr", request("system:masters")))
    assert error.message.endswith("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not "
                                  "allowed")


async def test_what_is_no_request_is_refused(world: World) -> None:
    """Text that is no PEM request and unknown usages are named."""
    bad = request() | {"spec": {"request": base64.b64encode(b"x").decode(), "signerName": "a.b/c", "usages": ["fly"]}}
    error = await refused(world.client.create("csr", bad))
    assert "PEM block type must be CERTIFICATE REQUEST" in error.message
    assert 'spec.usages[0]: Unsupported value: "fly"' in error.message
