"""The cluster's certificate authority."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from kubelab.client.pki import Pki


def test_the_authority_is_kept_with_private_keys(tmp_path: Path) -> None:
    """The same folder gives the same authority, and its keys are readable by their owner alone."""
    made = Pki.open(tmp_path / "pki")
    assert Pki.open(tmp_path / "pki") == made
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    assert Pki.open(None) != made


def test_a_server_certificate_names_where_it_is_reached() -> None:
    """Names and addresses stand in the certificate; it is for servers, and no authority itself."""
    certificate, key = Pki.open(None).issue_server(["kubernetes", "localhost"], ["127.0.0.1"])
    read = x509.load_pem_x509_certificate(certificate)
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes", "localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert not read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert b"PRIVATE KEY" in key


async def _hello(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """Shake hands over a socket; return the certificate that the server saw."""
    seen: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    port = listener.sockets[0].getsockname()[1]
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.close()
        return await asyncio.wait_for(seen, 5)
    finally:
        listener.close()


async def test_client_and_server_know_each_other() -> None:
    """A client of this authority is known, one without a certificate may come in, a foreign one may not."""
    pki, foreign = Pki.open(None), Pki.open(None)
    server = pki.server_context(["localhost"], ["127.0.0.1"])
    assert await _hello(server, pki.client_context("ann")) is not None
    assert await _hello(server, ssl.create_default_context(cadata=pki.ca_pem.decode())) is None
    stranger = ssl.create_default_context(cadata=foreign.ca_pem.decode())
    with pytest.raises(ssl.SSLCertVerificationError):
        await _hello(server, stranger)
