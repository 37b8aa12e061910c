"""How clients come in: an authority for one etcd, the certificates it gave out, and the words for etcdctl.

    folder/  ca.crt ca.key ─┬─ signs ─► the server's certificate (in memory, new at each start)
                            └─ signs ─► client.crt client.key    (for etcdctl, or a kube-apiserver)

Invariant: whoever has a certificate of this authority may do everything, as in etcd without users; so it signs for
           nothing else, and its files are their owner's alone.
Models:    kubeadm's pki/etcd folder
"""

from __future__ import annotations

import shlex
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kubelab.client.pki import Pki, load_cert_chain, write_private


class ClientFiles(NamedTuple):
    """What a client needs: whom to trust, and what to show."""

    ca: Path
    certificate: Path
    key: Path


class WireTls(NamedTuple):
    """The server's side of TLS, and the files of the client's."""

    context: ssl.SSLContext
    files: ClientFiles


def certify(folder: Path, host: str) -> WireTls:
    """Make a folder hold an authority and a client's certificate, and return the TLS side of a server on `host`."""
    folder = folder.absolute()  # its paths are to be typed anywhere
    pki = Pki.authority(folder, "etcd-ca")
    files = ClientFiles(folder / "ca.crt", folder / "client.crt", folder / "client.key")
    if not (files.key.exists() and pki.has_issued(files.certificate)):  # else it may be in use right now
        for path, pem in zip(files[1:], pki.issue_client("etcd-client"), strict=True):
            write_private(path, pem)
    names, ips = ["localhost", socket.gethostname()], ["127.0.0.1", "::1"]
    if host and host not in (*names, *ips):
        (ips if host.replace(".", "").isdigit() or ":" in host else names).append(host)
    return WireTls(tls_context(*pki.issue_server(names, ips), pki.ca_pem), files)


def tls_context(certificate: bytes, key: bytes, client_ca: bytes) -> ssl.SSLContext:
    """Return the TLS side of a server: HTTP/2 alone, and no client without a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_ca.decode())
    context.set_alpn_protocols(["h2"])
    load_cert_chain(context, certificate, key)
    return context


def environment(endpoint: str, files: ClientFiles | None) -> dict[str, str]:
    """Return the variables by which etcdctl finds an etcd and is let in."""
    found = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": endpoint}
    if files is not None:
        found |= {"ETCDCTL_CACERT": str(files.ca), "ETCDCTL_CERT": str(files.certificate),
                  "ETCDCTL_KEY": str(files.key)}
    return found


def etcdctl_line(variables: Mapping[str, str]) -> str:
    """Return an etcdctl command to type, with these variables before it."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in variables.items()),
                     "etcdctl endpoint status -w table"])


def host_and_port(listen: str) -> tuple[str, int]:
    """Read "HOST:PORT". Raises ValueError that shows how it is written."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{listen!r} is no address to listen on; write HOST:PORT, for example 127.0.0.1:2379")
    return host.strip("[]"), int(port)
