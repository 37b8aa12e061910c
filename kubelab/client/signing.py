"""Signing: what a certificate signing request must be for each signer of Kubernetes, and the certificate made of it.

    request (PEM) ─► refusal: why its signer will not have it ─► Pki ─► certificate: its names, its key, its usages

Invariant: nothing of a request is changed: it is signed as it is, or refused.
Models:    pkg/controller/certificates/signer and authority of kube-controller-manager
Left out:  the oldest signer, kubernetes.io/legacy-unknown, for which nobody can ask any more
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

    from kubelab.client.pki import Pki

CLIENT, KUBELET, SERVING = (f"kubernetes.io/{name}" for name in (
    "kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving"))
SIGNERS = frozenset({CLIENT, KUBELET, SERVING})
YEAR_S, SHORTEST_S, BACKDATE = 365 * 86_400, 600, timedelta(minutes=5)
_SIGNS, _ENCIPHERS = "digital signature", "key encipherment"
_KEY_USAGES = {"signing": "digital_signature", _SIGNS: "digital_signature", _ENCIPHERS: "key_encipherment",
               "content commitment": "content_commitment", "key agreement": "key_agreement",
               "data encipherment": "data_encipherment", "cert sign": "key_cert_sign", "crl sign": "crl_sign",
               "encipher only": "encipher_only", "decipher only": "decipher_only"}


def refusal(request: x509.CertificateSigningRequest, signer: str, usages: Sequence[str]) -> str:
    """Say why a signer will not sign a request; "" when it will."""
    if signer == CLIENT:
        return _no_client(usages)
    from cryptography.x509.oid import NameOID

    def named(oid: x509.ObjectIdentifier) -> list[str]:
        return [str(part.value) for part in request.subject.get_attributes_for_oid(oid)]

    serving, named_so = signer == SERVING, any(n.startswith("system:node:") for n in named(NameOID.COMMON_NAME))
    wanted = {_SIGNS, _ENCIPHERS, "server auth" if serving else "client auth"}
    usual = {*usages} in (wanted, wanted - {_ENCIPHERS})
    reasons = [
        "" if named(NameOID.ORGANIZATION_NAME) == ["system:nodes"] else "subject organization is not system:nodes",
        _wrong_alternatives(request, serving=serving),
        "" if named_so else "subject common name does not begin with system:node:",
        "" if usual else f"usages did not match [{' '.join(sorted(wanted))}]"]
    return next((reason for reason in reasons if reason), "")


def _no_client(usages: Sequence[str]) -> str:
    for usage in usages:
        if usage not in (_SIGNS, _ENCIPHERS, "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _wrong_alternatives(request: x509.CertificateSigningRequest, *, serving: bool) -> str:
    from cryptography import x509

    try:
        found = {type(one) for one in request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}
    except x509.ExtensionNotFound:
        found = set()
    if serving and not found & {x509.DNSName, x509.IPAddress}:
        return "DNS or IP subjectAltName is required"
    known: tuple[tuple[type[x509.GeneralName], str, bool], ...] = (  # and whether a server may have it
        (x509.DNSName, "DNS", True), (x509.RFC822Name, "Email", False), (x509.IPAddress, "IP", True),
        (x509.UniformResourceIdentifier, "URI", False))
    return next((f"{name} subjectAltNames are not allowed" for kind, name, of_server in known
                 if kind in found and not (serving and of_server)), "")


def sign(pki: Pki, request: x509.CertificateSigningRequest, usages: Sequence[str], seconds: int | None) -> bytes:
    """Return the certificate of a request as PEM; it is valid for as long as is asked, ten minutes to a year."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    ca, ca_key = x509.load_pem_x509_certificate(pki.ca_pem), load_pem_private_key(pki.ca_key_pem, None)
    begin = datetime.now(UTC) - BACKDATE  # in real time, as every certificate
    end = begin + timedelta(seconds=min(max(seconds or YEAR_S, SHORTEST_S), YEAR_S)) + BACKDATE
    builder = (
        x509.CertificateBuilder().subject_name(request.subject).issuer_name(ca.subject)
        .public_key(request.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(begin).not_valid_after(min(end, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),  # type: ignore[arg-type]
                       critical=False))
    if any(usage in _KEY_USAGES for usage in usages):  # one that allows nothing would forbid all
        builder = builder.add_extension(_key_usage(usages), critical=True)
    extended = _extended_usages(usages)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    from cryptography import x509

    asked = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    return x509.KeyUsage(**{name: name in asked for name in dict.fromkeys(_KEY_USAGES.values())})


def _extended_usages(usages: Sequence[str]) -> list[x509.ObjectIdentifier]:
    from cryptography.x509.oid import ExtendedKeyUsageOID as Oid

    known = {"any": Oid.ANY_EXTENDED_KEY_USAGE, "server auth": Oid.SERVER_AUTH, "client auth": Oid.CLIENT_AUTH,
             "code signing": Oid.CODE_SIGNING, "email protection": Oid.EMAIL_PROTECTION,
             "s/mime": Oid.EMAIL_PROTECTION, "timestamping": Oid.TIME_STAMPING, "ocsp signing": Oid.OCSP_SIGNING}
    return list(dict.fromkeys(known[usage] for usage in usages if usage in known))
