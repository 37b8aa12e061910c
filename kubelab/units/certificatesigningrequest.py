"""CertificateSigningRequest: someone asks for a certificate, someone approves, a signer signs.

    spec.request ─► approval: Approved or Denied ─► status.certificate

Models:    pkg/registry/certificates, pkg/apis/certificates of kube-apiserver
Left out:  a diff of a changed approval condition in the error's text
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence

from kubelab.machinery import meta, names
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE

USAGES = ("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
          "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system",
          "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc",
          "ocsp signing", "s/mime", "server auth", "signing", "timestamping")
DECISIONS = ("Approved", "Denied")
FINAL = (*DECISIONS, "Failed")
STATUSES = ("False", "True", "Unknown")
CONDITIONS = "status.conditions"
LONGEST_DOMAIN, LONGEST_SIGNER = 253, 253 + 253 + 63 + 1 + 1
_BLOCK = re.compile(rb"-----BEGIN ([^-]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)


def _prepare(csr: Obj) -> None:
    csr["status"] = {}


def _keep_spec(new: Obj, old: Obj) -> None:
    new["spec"] = old["spec"]  # who asked for what is settled with the creation


def _validate(csr: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(csr.get("spec") or {}))


def _spec_errors(spec: Obj) -> rules.Errors:
    why = _request_problem(spec.get("request") or "")
    if why:
        yield invalid_value("spec.request", spec.get("request") or "", why)
    usages, signer, seconds = spec.get("usages") or (), spec.get("signerName", ""), spec.get("expirationSeconds")
    if not usages:
        yield required("spec.usages")
    for i, usage in enumerate(usages):
        yield from rules.known(f"spec.usages[{i}]", usage, USAGES)
    yield from rules.unique((f"spec.usages[{i}]", usage) for i, usage in enumerate(usages))
    if signer == "kubernetes.io/legacy-unknown":
        yield invalid_value("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
    else:
        yield from _signer_errors("spec.signerName", signer)
    if seconds is not None and seconds < 600:
        yield invalid_value("spec.expirationSeconds", seconds,
                            "may not specify a duration less than 600 seconds (10 minutes)")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def _request_problem(request: str) -> str:
    """Return what is wrong with a PEM certificate request, or ""."""
    data = _decoded(request)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in data:
        return "PEM block type must be CERTIFICATE REQUEST"
    from cryptography import x509

    try:
        parsed = x509.load_pem_x509_csr(data)
    except ValueError as error:
        return str(error)
    return "" if parsed.is_signature_valid else "x509: invalid signature"


def _certificate_problem(data: bytes) -> str:
    """Return what is wrong with certificates in PEM, or ""."""
    if not data:
        return ""
    blocks = _BLOCK.findall(data)
    if not blocks:
        return "must contain at least one CERTIFICATE PEM block"
    from cryptography import x509

    for kind, body in blocks:
        if kind != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode(errors="replace")}"'
        if b":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode(body))
        except (ValueError, binascii.Error):
            return "x509: malformed certificate"
    return ""


def _signer_errors(path: str, signer: str) -> rules.Errors:
    if not signer:
        yield required(path)
    domain, slash, rest = signer.partition("/")
    if not slash or "/" in rest:
        yield invalid_value(path, signer, "must be a fully qualified domain and path of the form "
                                          "'example.com/signer-name'")
        return
    if len(domain) > LONGEST_DOMAIN:
        yield rules.too_long(path, LONGEST_DOMAIN)
    yield from _first_wrong(path, domain, names.dns1123_label_errors)
    if "." not in domain:
        yield invalid_value(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _first_wrong(path, rest, names.dns1123_subdomain_errors)
    if len(signer) > LONGEST_SIGNER:
        yield rules.too_long(path, LONGEST_SIGNER)


def _first_wrong(path: str, dotted: str, check: Callable[[str], list[str]]) -> rules.Errors:
    """Tell of the first part of a dotted name that is wrong; what is said of others would look the same."""
    wrong = next(((part, found) for part in dotted.split(".") if (found := check(part))), None)
    if wrong is not None:
        yield from (invalid_value(path, dotted, f'validating label "{wrong[0]}": {message}') for message in wrong[1])


def _conditions(csr: Obj) -> list[Obj]:
    return (csr.get("status") or {}).get("conditions") or []


def _of_type(csr: Obj, type_: str) -> list[Obj]:
    return [condition for condition in _conditions(csr) if condition.get("type") == type_]


def _condition_errors(csr: Obj) -> rules.Errors:
    seen: set[str] = set()
    for i, condition in enumerate(_conditions(csr)):
        path, type_, status = f"{CONDITIONS}[{i}]", condition.get("type", ""), condition.get("status", "")
        if not type_:
            yield required(f"{path}.type")
        yield from rules.one_of(f"{path}.status", status, ("True",) if type_ in FINAL else STATUSES)
        if type_ in DECISIONS and seen & ({*DECISIONS} - {type_}):
            yield invalid_value(f"{path}.type", type_, "Approved and Denied conditions are mutually exclusive")
        if type_ in seen:
            yield duplicate(f"{path}.type", type_)
        seen.add(type_)


def _update_errors(new: Obj, old: Obj, *, approval: bool, certificate: bool) -> rules.Errors:
    yield from _condition_errors(new)
    issued, now = ((csr.get("status") or {}).get("certificate") or "" for csr in (old, new))
    why = _certificate_problem(_decoded(now)) if now != issued and not _certificate_problem(_decoded(issued)) else ""
    if why:
        yield invalid_value("status.certificate", "<certificate data>", why)
    for type_ in FINAL:
        if len(_of_type(new, type_)) < len(_of_type(old, type_)):
            yield rules.forbidden(CONDITIONS, f'updates may not remove a condition of type "{type_}"')
    for type_ in DECISIONS if not approval else ():
        after, before = _of_type(new, type_), _of_type(old, type_)
        if len(after) > len(before):
            yield rules.forbidden(CONDITIONS, f'updates may not add a condition of type "{type_}"')
        elif len(after) == len(before) and after != before:
            yield rules.forbidden(CONDITIONS, f'updates may not modify a condition of type "{type_}"')
    if now != issued:
        if not certificate:
            yield rules.forbidden("status.certificate", "updates may not set certificate content")
        elif issued:
            yield rules.forbidden("status.certificate", "updates may not modify existing certificate content")


def _status_errors(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    """Decisions come by `approval` alone, certificates by `status` alone."""
    decides = subresource == "approval"
    return list(_update_errors(new, old, approval=decides, certificate=not decides))


def _state(csr: Obj) -> str:
    types = {condition.get("type") for condition in _conditions(csr)}
    state = next((type_ for type_ in ("Denied", "Approved") if type_ in types), "Pending")
    issued = ",Issued" if (csr.get("status") or {}).get("certificate") else ""
    return state + (",Failed" if "Failed" in types else "") + issued


def _asked_for(csr: Obj) -> str:
    seconds = csr["spec"].get("expirationSeconds")
    return NONE if seconds is None else meta.age(seconds)


def _fields(csr: Obj) -> Mapping[str, str]:
    return {"spec.signerName": (csr.get("spec") or {}).get("signerName", "")}


CERTIFICATE_SIGNING_REQUEST = Kind(
    "CertificateSigningRequest", "certificatesigningrequests", group="certificates.k8s.io", namespaced=False,
    short_names=("csr",), subresources=frozenset({"approval", "status"}), validate_name="path",
    prepare_create=_prepare, prepare_update=_keep_spec, validate=_validate,
    validate_part=_status_errors,
    selectable=_fields, selectable_keys=("spec.signerName",),
    columns=(
        NAME, AGE,
        Column("SignerName", lambda o, now: o["spec"].get("signerName") or NONE, path="spec.signerName"),
        Column("Requestor", lambda o, now: o["spec"].get("username", ""), path="spec.request"),
        Column("RequestedDuration", lambda o, now: _asked_for(o), path="spec.expirationSeconds"),
        Column("Condition", lambda o, now: _state(o), path="status.conditions"),
    ),
)
