"""The address families and cluster IPs of a Service: what it gets, and what it may not ask for.

    spec.ipFamilyPolicy, ipFamilies, clusterIPs ─► well formed? ─► to be had in this cluster? ─► (the other rules)

Invariant: where the addresses are wrong nothing else is told, because without them no Service is looked at further.
Models:    initIPFamilyFields and patchAllocatedValues of pkg/registry/core/service/storage,
           ValidateServiceClusterIPsRelatedFields of pkg/apis/core/validation
Left out:  clusters of two families: this one speaks IPv4
"""

from __future__ import annotations

from kubelab.machinery.errors import duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import parse_ip

FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
SEVERAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"


def default_families(spec: Obj, old: Obj | None = None) -> None:
    """Say which families a Service is of; one without selector and address may be of both."""
    if spec["type"] == "ExternalName":
        return
    nobodys = spec.get("clusterIP") == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        before = (old or {}).get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = before or ("RequireDualStack" if nobodys else "SingleStack")
    families = list(spec.get("ipFamilies") or ())
    if not families and not any(_family(ip) == "IPv6" for ip in spec.get("clusterIPs") or ()):
        families = ["IPv4"]
    if nobodys and len(families) == 1 and families[0] in FAMILIES and spec["ipFamilyPolicy"] != "SingleStack":
        families.append("IPv6" if families == ["IPv4"] else "IPv4")
    if families:
        spec["ipFamilies"] = families


def normalise_ips(new: Obj, old: Obj) -> None:
    """Let `clusterIPs` follow a writer who left them out or changed `clusterIP` only."""
    if "ExternalName" not in (new["type"], old["type"]) and not new.get("clusterIP") and old.get("clusterIP"):
        new["clusterIP"] = old["clusterIP"]
        new["clusterIPs"] = new.get("clusterIPs") or old.get("clusterIPs", [old["clusterIP"]])
    elif new.get("clusterIP", "") != old.get("clusterIP", "") and new.get("clusterIPs") == old.get("clusterIPs"):
        new.pop("clusterIPs", None)
    if new.get("clusterIP") and not new.get("clusterIPs"):
        new["clusterIPs"] = [new["clusterIP"]]


def address_errors(spec: Obj) -> rules.Errors:
    """Yield what is wrong with a Service's addresses, as far as it makes sense to look on."""
    if spec.get("type") == "ExternalName":
        return
    for check in (_well_formed, _consistent, _to_be_had):
        found = list(check(spec))
        yield from found
        if found:
            return


def _well_formed(spec: Obj) -> rules.Errors:
    ips, families, policy = spec.get("clusterIPs") or [], spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    if spec.get("clusterIP") and not ips:
        yield required("spec.clusterIPs")
    elif spec.get("clusterIP") and ips[0] != spec["clusterIP"]:
        yield invalid_value("spec.clusterIPs", ips, "first value must match `clusterIP`")
    elif ips and not spec.get("clusterIP"):
        yield invalid_value("spec.clusterIPs", ips, "must be empty when `clusterIP` is not specified")
    for i, family in enumerate(families):
        if family not in FAMILIES:
            yield rules.unsupported(f"spec.ipFamilies[{i}]", family, FAMILIES)
        if family in families[:i]:
            yield duplicate(f"spec.ipFamilies[{i}]", family)
    yield from rules.known("spec.ipFamilyPolicy", policy, POLICIES)
    wrong = list(_ip_errors(ips))
    yield from wrong
    if len(ips) > 2:
        yield invalid_value("spec.clusterIPs", ips, "may only hold up to 2 values")
    if not wrong:
        yield from _family_errors(ips, families)


def _ip_errors(ips: list[str]) -> rules.Errors:
    for i, ip in enumerate(ips):
        if i or ip != "None":
            yield from rules.ip_address(f"spec.clusterIPs[{i}]", ip)
        elif len(ips) > 1:
            yield invalid_value("spec.clusterIPs", ips, "'None' must be the first and only value")


def _family_errors(ips: list[str], families: list[str]) -> rules.Errors:
    if len(ips) > 1 and not (len(ips) == 2 and _family(ips[0]) != _family(ips[1])):
        yield invalid_value("spec.clusterIPs", ips, "may specify no more than one IP for each IP family")
    for i, (ip, family) in enumerate(zip(ips, families, strict=False) if ips != ["None"] else ()):
        if family in FAMILIES and _family(ip) != family:
            yield invalid_value(f"spec.clusterIPs[{i}]", ip,
                                f"expected an {family} value as indicated by `ipFamilies[{i}]`")


def _consistent(spec: Obj) -> rules.Errors:
    ips, families, policy = spec.get("clusterIPs") or [], spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    if policy == "SingleStack":
        for what, several in (("cluster IPs", ips), ("IP families", families)):
            if len(several) == 2:
                yield invalid_value("spec.ipFamilyPolicy", policy, SEVERAL.format(what))
    for i, ip in enumerate(ips):
        if i >= len(families) and _family(ip) == "IPv6":
            yield invalid_value(f"spec.clusterIPs[{i}]", ips, "IPv6 is not configured on this cluster")


def _to_be_had(spec: Obj) -> rules.Errors:
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        return
    if spec.get("ipFamilyPolicy") == "RequireDualStack":
        yield invalid_value("spec.ipFamilyPolicy", "RequireDualStack",
                            "this cluster is not configured for dual-stack services")
    for i, family in enumerate(spec.get("ipFamilies") or ()):
        if family != "IPv4":
            yield invalid_value(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")


def _family(ip: str) -> str:
    address = parse_ip(ip)
    return "" if address is None else f"IPv{address.version}"
