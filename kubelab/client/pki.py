"""The cluster's certificate authority: who signs whom, and the keys of the API server.

    ca ─┬─ signs ─► server certificates        (API server, kubelets: proved to clients)
        └─ signs ─► client certificates        (CN = user, O = groups: proved to the API server)
    front-proxy-ca ─ signs ─► the certificate with which we speak for users to extension servers
    sa ─── signs ─► service account tokens     (a key pair of its own, no certificate)

Invariant: a private key on disk is readable by its owner alone; in memory mode none touches the disk for longer than
           the `ssl` module needs to read it.
Models:    kubeadm's certs phase (file names as kubeadm's)
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS, LEAF_DAYS, RENEW_DAYS = 3650, 365, 30
FILES = ("ca.crt", "ca.key", "sa.key", "front-proxy-ca.crt", "front-proxy-ca.key")


@dataclass(frozen=True, slots=True)
class Pki:
    """Keys and certificates as PEM. Certificates are valid in real time, whatever the cluster's clock says."""

    ca_pem: bytes
    ca_key_pem: bytes
    sa_key_pem: bytes
    front_proxy_ca_pem: bytes = b""
    front_proxy_key_pem: bytes = b""

    @classmethod
    def open(cls, folder: Path | None) -> Pki:
        """Read the authority from a folder, or make one there; without a folder, make one in memory."""
        if folder is not None and (folder / "sa.key").exists():
            if not (folder / FILES[-1]).exists():  # made before there was a front proxy
                for name, pem in zip(FILES[-2:], _new_authority("front-proxy-ca"), strict=True):
                    write_private(folder / name, pem)
            return cls(*((folder / name).read_bytes() for name in FILES))
        made = cls(*_new_authority("kubernetes-ca"), _key_pem(_new_key()), *_new_authority("front-proxy-ca"))
        if folder is not None:
            made.write(folder)
        return made

    def write(self, folder: Path) -> None:
        """Put the keys where another process reads them with `open`."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, pem in zip(FILES, astuple(self), strict=True):
            write_private(folder / name, pem)

    @classmethod
    def authority(cls, folder: Path, common_name: str) -> Pki:
        """Read a plain authority, which signs certificates and nothing else, from a folder; or make one there."""
        names = FILES[:2]
        if not (folder / names[-1]).exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, pem in zip(names, _new_authority(common_name), strict=True):
                write_private(folder / name, pem)
        certificate, key = ((folder / name).read_bytes() for name in names)
        return cls(certificate, key, b"")

    @property
    def front_proxy(self) -> Pki:
        """Return the authority that signs for one certificate: that by which extension servers know us."""
        return Pki(self.front_proxy_ca_pem, self.front_proxy_key_pem, b"")

    def issue_client(self, user: str, groups: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Return (certificate, key) that prove to the API server: this is `user`, member of `groups`."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        name = x509.Name([*(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
                          x509.NameAttribute(NameOID.COMMON_NAME, user)])
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def has_issued(self, file: Path) -> bool:
        """Tell whether a file holds a certificate of this authority that is valid for another month."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        try:
            found = x509.load_pem_x509_certificate(file.read_bytes())
            found.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca_pem))
        except (OSError, ValueError, InvalidSignature):
            return False
        return found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)

    def issue_server(self, names: Sequence[str], ips: Sequence[str]) -> tuple[bytes, bytes]:
        """Return (certificate, key) for a server that is reached under these DNS names and addresses."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        alternatives = [*(x509.DNSName(name) for name in names),
                        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (*names, *ips)[0])])
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def server_context(self, names: Sequence[str], ips: Sequence[str], *,
                       client_ca_pem: bytes | None = None) -> ssl.SSLContext:
        """Return the TLS side of a server that asks for client certificates and takes those of this authority.

        `client_ca_pem` names another authority for the clients.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=(client_ca_pem or self.ca_pem).decode())
        context.verify_mode = ssl.CERT_OPTIONAL  # who shows none may still have a token
        load_cert_chain(context, *self.issue_server(names, ips))
        return context

    def client_context(self, user: str, groups: Sequence[str] = (), *,
                       server_ca_pem: bytes | None = None, verify: bool = True) -> ssl.SSLContext:
        """Return the TLS side of a client of this cluster's servers, acting as `user`.

        `server_ca_pem` names another authority for the servers; `verify=False` takes any server.
        """
        context = ssl.create_default_context(cadata=(server_ca_pem or self.ca_pem).decode())
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        load_cert_chain(context, *self.issue_client(user, groups))
        return context

    def _issue(self, name: x509.Name, usage: x509.ObjectIdentifier,
               alternatives: Sequence[x509.GeneralName]) -> tuple[bytes, bytes]:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

        ca_key = load_pem_private_key(self.ca_key_pem, None)
        ca = x509.load_pem_x509_certificate(self.ca_pem)
        key = _new_key()
        builder = (
            _builder(name, ca.subject, key, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),  # type: ignore[arg-type]
                           critical=False))
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(ca_key, hashes.SHA256())  # type: ignore[arg-type]
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)


def load_cert_chain(context: ssl.SSLContext, cert_pem: bytes, key_pem: bytes) -> None:
    """Give a TLS context its key pair; the ssl module takes it from a file only, so it stands in one for a moment."""
    with tempfile.TemporaryDirectory(prefix="kubelab-") as folder:  # 0700
        path = Path(folder) / "pair.pem"
        path.write_bytes(cert_pem + b"\n" + key_pem)
        context.load_cert_chain(path)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _new_authority(common_name: str) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256()))
    return certificate.public_bytes(Encoding.PEM), _key_pem(key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey,
             days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=days)))


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
                         content_commitment=False, key_encipherment=False, data_encipherment=False,
                         key_agreement=False, encipher_only=False, decipher_only=False)


def _new_key() -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
