"""Certificates: a request says who asked; who decides on it and who signs must be allowed to for its signer.

    CREATE           ─► spec.username, uid, groups, extra are those of the user, whatever the body says
    UPDATE approval  ─► may the user `approve` signers/<signerName>?      UPDATE status ─► may the user `sign`?

Models: the CSR strategy; admission plugins CertificateApproval, CertificateSigning, CertificateSubjectRestriction
"""

from __future__ import annotations

import base64

from kubelab.control_plane.apiserver.admission.dynamic import Outside
from kubelab.control_plane.apiserver.admission.plugin import Attributes, Plugin
from kubelab.control_plane.apiserver.storage import Storage
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo

GROUP, KIND = "certificates.k8s.io", "certificatesigningrequests"
VERBS = {"approval": "approve", "status": "sign"}
CLIENTS = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"


class Certificates(Plugin):
    name = "CertificateApproval"
    handles = (f"CREATE {KIND}", f"UPDATE {KIND}/approval", f"UPDATE {KIND}/status")

    def __init__(self, storage: Storage, outside: Outside) -> None:
        super().__init__(storage)
        self._outside = outside

    def admit(self, a: Attributes) -> None:
        if a.operation == "CREATE":
            a.obj.setdefault("spec", {}).update(a.call.user.info)
            return
        verb, signer = VERBS[a.call.info.subresource], a.old["spec"].get("signerName", "")
        issued = (a.obj.get("status") or {}).get("certificate") != (a.old.get("status") or {}).get("certificate")
        if (verb == "approve" or issued) and not self._may(a.call.user, verb, signer):
            raise a.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')
        _stamp(a.obj.get("status") or {}, a.old.get("status") or {}, self._outside.stamp())

    def validate(self, a: Attributes) -> None:
        if a.operation == "CREATE" and a.obj["spec"].get("signerName") == CLIENTS and _for_masters(a.obj["spec"]):
            raise a.forbidden(f"use of {CLIENTS} signer with {MASTERS} group is not allowed")

    def _may(self, user: User, verb: str, signer: str) -> bool:
        """Say whether the user has a right on this signer, or on all of its domain."""
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            try:
                self._outside.authorise(user, RequestInfo(verb, "", GROUP, "v1", "", "signers", name))
                return True
            except ApiError:
                continue
        return False


def _stamp(status: Obj, before: Obj, now: str) -> None:
    """Write when each condition was told, and when it last became what it is."""
    known = {condition.get("type"): condition for condition in before.get("conditions") or ()}
    conditions = []
    for condition in status.get("conditions") or ():
        old = known.get(condition.get("type"), {})
        changed = old.get("status") != condition.get("status")
        told = {"lastUpdateTime": now, "lastTransitionTime": now if changed else old.get("lastTransitionTime", now)}
        conditions.append({**told, **{key: value for key, value in condition.items() if value}})
    if conditions:
        status["conditions"] = conditions


def _for_masters(spec: Obj) -> bool:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    csr = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or ""))
    return any(part.value == MASTERS for part in csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
