"""Signing: what each signer refuses, and what is in the certificate of what it takes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubelab.client.pki import Pki
from kubelab.client.signing import CLIENT, KUBELET, SERVING, refusal, sign

SIGNS, ENCIPHERS, CLIENTS, SERVES = "digital signature", "key encipherment", "client auth", "server auth"
NODE, NODES = "system:node:n", "system:nodes"
DNS, EMAIL = x509.DNSName("n"), x509.RFC822Name("a@b.c")


def request(name: str = "jane", group: str = "dev", *alternatives: x509.GeneralName) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group),
                         x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


@pytest.mark.parametrize(("signer", "asked", "usages", "why"), [
    (CLIENT, request(), [CLIENTS], ""), (CLIENT, request(), [SIGNS, ENCIPHERS, CLIENTS], ""),
    (CLIENT, request(), [SIGNS], "missing required usage for client certificate: client auth"),
    (CLIENT, request(), [CLIENTS, SERVES], "invalid usage for client certificate: server auth"),
    (KUBELET, request(NODE, NODES), [SIGNS, CLIENTS], ""),
    (KUBELET, request(), [SIGNS, CLIENTS], "subject organization is not system:nodes"),
    (KUBELET, request(NODE, NODES, DNS), [SIGNS, CLIENTS], "DNS subjectAltNames are not allowed"),
    (KUBELET, request("n", NODES), [SIGNS], "subject common name does not begin with system:node:"),
    (KUBELET, request(NODE, NODES), [SIGNS], "usages did not match [client auth digital signature key encipherment]"),
    (SERVING, request(NODE, NODES, DNS), [SIGNS, ENCIPHERS, SERVES], ""),
    (SERVING, request(NODE, NODES), [SIGNS, SERVES], "DNS or IP subjectAltName is required"),
    (SERVING, request(NODE, NODES, DNS, EMAIL), [SIGNS, SERVES], "Email subjectAltNames are not allowed")])
def test_a_signer_refuses_what_is_not_for_it(signer: str, asked: x509.CertificateSigningRequest, usages: list[str],
                                             why: str) -> None:
    """Each signer has its rules for names and usages, and says which one is broken."""
    assert refusal(asked, signer, usages) == why


def test_a_certificate_says_what_was_asked_for() -> None:
    """Subject, key, other names and usages are those of the request; the authority and the time are the signer's."""
    pki, asked = Pki.open(None), request(NODE, NODES, DNS)
    made = x509.load_pem_x509_certificate(sign(pki, asked, [SIGNS, ENCIPHERS, SERVES], 3600))
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca_pem))
    assert (made.subject, made.public_key()) == (asked.subject, asked.public_key())
    assert [*made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value] == [DNS]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert [*made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert made.not_valid_after_utc - made.not_valid_before_utc == timedelta(minutes=65)


@pytest.mark.parametrize(("asked_s", "days"), [(None, 365), (10 * 365 * 86_400, 365), (86_400, 1)])
def test_a_certificate_ends_within_a_year(asked_s: int | None, days: int) -> None:
    """Who asks for no time, or for too much of it, gets a year."""
    made = x509.load_pem_x509_certificate(sign(Pki.open(None), request(), [CLIENTS], asked_s))
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == days
