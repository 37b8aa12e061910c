"""ServiceCIDR and IPAddress: the ranges that Services get their addresses from, and each address that is taken.

Models: pkg/registry/networking/{servicecidr,ipaddress} and pkg/apis/networking of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.names import path_segment_errors
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import parse_cidr
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE

GROUP = "networking.k8s.io"
CIDRS = "spec.cidrs"
IMMUTABLE = "field is immutable"
CIDRS_TEXT = ('CIDRs defines the IP blocks in CIDR notation (e.g. "192.168.0.0/24" or "2001:db8::/64") from which to '
              "assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is "
              "immutable.")
PARENT_TEXT = ("ParentRef references the resource that an IPAddress is attached to. An IPAddress must reference a "
               "parent object.")


def _cidrs(obj: Obj) -> list[str]:
    return (obj.get("spec") or {}).get("cidrs") or []


def _validate_cidr(obj: Obj) -> Sequence[FieldError]:
    return list(_cidr_errors(_cidrs(obj)))


def _cidr_errors(cidrs: list[str]) -> rules.Errors:
    if not cidrs:
        yield required(CIDRS, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        yield rules.invalid_struct(CIDRS, {"CIDRs": cidrs}, "may only hold up to 2 values")
        return
    for i, cidr in enumerate(cidrs):
        yield from rules.cidr(f"{CIDRS}[{i}]", cidr, canonical=True)
    found = [parsed[1].version for cidr in cidrs if (parsed := parse_cidr(cidr)) is not None]
    if len(found) == 2 and found[0] == found[1]:
        yield invalid_value(CIDRS, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and "
                                          "2001:db8::/64")


def _cidr_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """A range stays as it is; a second one of the other family may be added to a first."""
    after, before = _cidrs(new), _cidrs(old)
    added = (len(before), len(after)) == (1, 2)
    if len(after) != len(before) and not added:
        return [invalid_value(CIDRS, after, IMMUTABLE)]
    changed = [invalid_value(f"{CIDRS}[{i}]", after[i], IMMUTABLE) for i, cidr in enumerate(before) if after[i] != cidr]
    return [*changed, *(_cidr_errors(after) if added else ())]


def _prepare_cidr(obj: Obj) -> None:
    obj.setdefault("status", {})  # upstream lets its writer fill it


SERVICE_CIDR = Kind(
    "ServiceCIDR", "servicecidrs", group=GROUP, namespaced=False, subresources=frozenset({"status"}),
    prepare_create=_prepare_cidr, validate=_validate_cidr, validate_update=_cidr_update, update_alone=True,
    columns=(NAME, Column("CIDRs", lambda o, now: ",".join(_cidrs(o)), description=CIDRS_TEXT), AGE),
)


def _validate_address(obj: Obj) -> Sequence[FieldError]:
    return list(_address_errors(obj["metadata"].get("name") or "", (obj.get("spec") or {}).get("parentRef")))


def _address_errors(name: str, parent: Obj | None) -> rules.Errors:
    yield from rules.ip_address("metadata.name", name, canonical=True)
    path = "spec.parentRef"
    if parent is None:
        yield required(path)
        return
    if parent.get("group"):
        yield from rules.subdomain_name(f"{path}.group", parent["group"])
    for key in ("resource", "name", "namespace"):
        if parent.get(key):
            yield from rules.messages(f"{path}.{key}", parent[key], path_segment_errors)
        elif key != "namespace":
            yield required(f"{path}.{key}")


def _address_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = ((o.get("spec") or {}).get("parentRef") for o in (new, old))
    if after is None or after == before:
        return (invalid_value("spec.parentRef", None, IMMUTABLE),) if after != before else ()
    shown = {key.capitalize(): after.get(key, "") for key in ("group", "resource", "namespace", "name")}
    return (rules.invalid_struct("spec.parentRef", shown, IMMUTABLE),)


def _parent_text(obj: Obj) -> str:
    parent = (obj.get("spec") or {}).get("parentRef")
    if not parent:
        return NONE
    group = f".{parent['group']}" if parent.get("group") else ""
    parts = [f"{parent.get('resource', '')}{group}".lower(), parent.get("namespace", ""), parent.get("name", "")]
    return "/".join(part for part in parts if part)


IP_ADDRESS = Kind(
    "IPAddress", "ipaddresses", group=GROUP, namespaced=False, short_names=("ip",), validate_name="path",
    validate=_validate_address, validate_update=_address_update,
    columns=(NAME, Column("ParentRef", lambda o, now: _parent_text(o), description=PARENT_TEXT)),
)
