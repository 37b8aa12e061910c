"""Lease: a heartbeat that somebody renews, such as a kubelet for its node.

Models: pkg/registry/coordination/lease of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError, invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME

COORDINATED = frozenset({"preferredHolder", "strategy"})


def _validate(lease: Obj) -> Sequence[FieldError]:
    return list(_errors(lease.get("spec") or {}))


def _errors(spec: Obj) -> rules.Errors:
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")
    yield from rules.not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def _prepare(lease: Obj, old: Obj | None = None) -> None:
    """Leave out what belongs to coordinated leader election, which is off by default."""
    spec = lease.get("spec") or {}
    if spec.keys() & COORDINATED:
        lease["spec"] = {key: value for key, value in spec.items() if key not in COORDINATED}


LEASE = Kind(
    "Lease", "leases", group="coordination.k8s.io", validate=_validate, prepare_create=_prepare,
    prepare_update=_prepare,
    columns=(
        NAME,
        Column("Holder", lambda o, now: (o.get("spec") or {}).get("holderIdentity", ""), path="spec.holderIdentity"),
        AGE,
    ),
)
