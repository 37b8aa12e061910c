"""CertificateSigningRequest: names of signers, and what a signer may write."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubelab.units.certificatesigningrequest import CERTIFICATE_SIGNING_REQUEST as CSR


@pytest.mark.parametrize(("signer", "messages"), [
    ("", ["Required value", 'Invalid value: "": must be a fully qualified domain and path of the form '
          "'example.com/signer-name'"]),
    ("a/b/c", ["Invalid value: \"a/b/c\": must be a fully qualified domain and path of the form "
               "'example.com/signer-name'"]),
    ("local/x", ['Invalid value: "local": should be a domain with at least two segments separated by dots']),
    ("kubernetes.io/legacy-unknown", ['Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not '
                                      "allowed via this API version"]),
    (f"{'a.' * 140}io/x", ["Too long: may not be more than 253 bytes"]),
])
def test_a_signer_has_a_domain_and_a_path(signer: str, messages: list[str]) -> None:
    """Each part is checked label by label, and only the first that is wrong is told."""
    found = [str(error) for error in CSR.validate({"metadata": {"name": "x"}, "spec": {"signerName": signer}})]
    assert [text.removeprefix("spec.signerName: ") for text in found if text.startswith("spec.signerName")] == messages


def test_only_the_first_wrong_label_is_told() -> None:
    """Two wrong labels of a domain give one message; a wrong path another."""
    found = [str(error) for error in CSR.validate({"metadata": {}, "spec": {"signerName": "A.B.io/C"}})]
    assert [text.partition(": a lower")[0] for text in found if "label" in text] == [
        'spec.signerName: Invalid value: "A.B.io": validating label "A"',
        'spec.signerName: Invalid value: "C": validating label "C"']


@pytest.mark.parametrize(("text", "message"), [
    ("x", "must contain at least one CERTIFICATE PEM block"),
    ("-----BEGIN KEY-----\nAA==\n-----END KEY-----\n", 'only CERTIFICATE PEM blocks are allowed, found "KEY"'),
    ("-----BEGIN CERTIFICATE-----\nA: b\n\nAA==\n-----END CERTIFICATE-----\n", "no PEM block headers are permitted"),
    ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "x509: malformed certificate"),
])
def test_a_signer_writes_certificates(text: str, message: str) -> None:
    """What is no certificate is refused, and not shown."""
    old: dict[str, Any] = {"metadata": {}, "spec": {}, "status": {}}
    new = old | {"status": {"certificate": base64.b64encode(text.encode()).decode()}}
    found = [str(error) for error in CSR.validate_part(new, old, "status")]
    assert found == [f'status.certificate: Invalid value: "<certificate data>": {message}']
