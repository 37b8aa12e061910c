"""NetworkPolicy: which pods may talk to which. Stored and shown here; a network plugin would enforce it.

Models: pkg/registry/networking/networkpolicy and pkg/apis/networking of kube-apiserver
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, selector_text

DIRECTIONS = (("ingress", "from"), ("egress", "to"))
POLICY_TYPES = ("Ingress", "Egress")
PROTOCOLS = ("TCP", "UDP", "SCTP")


def _default(policy: Obj) -> None:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for direction, _ in DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _validate(policy: Obj) -> Sequence[FieldError]:
    return list(_spec_errors(policy.get("spec") or {}))


def _spec_errors(spec: Obj) -> rules.Errors:
    yield from rules.label_selector("spec.podSelector", spec.get("podSelector"))
    for direction, side in DIRECTIONS:
        for i, rule in enumerate(spec.get(direction) or ()):
            for j, port in enumerate(rule.get("ports") or ()):
                yield from _port(f"spec.{direction}[{i}].ports[{j}]", port)
            for j, peer in enumerate(rule.get(side) or ()):
                yield from _peer(f"spec.{direction}[{i}].{side}[{j}]", peer)
    types = spec.get("policyTypes") or ()
    if len(types) > len(POLICY_TYPES):
        yield invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for i, policy_type in enumerate(types):
        yield from rules.known(f"spec.policyTypes[{i}]", policy_type, POLICY_TYPES)


def _port(path: str, port: Obj) -> rules.Errors:
    yield from rules.known(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    number, last, end = port.get("port"), port.get("endPort"), f"{path}.endPort"
    if number is None:
        if last is not None:
            yield invalid_value(end, last, "may not be specified when `port` is not specified")
    elif isinstance(number, int):
        yield from rules.port_number(f"{path}.port", number)
        if last is not None:
            if last < number:
                yield invalid_value(end, last, "must be greater than or equal to `port`")
            yield from rules.port_number(end, last)
    else:
        if last is not None:
            yield invalid_value(end, last, "may not be specified when `port` is non-numeric")
        yield from rules.port_name(f"{path}.port", number)


def _peer(path: str, peer: Obj) -> rules.Errors:
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    for key in given:
        if key == "ipBlock":
            yield from _ip_block(f"{path}.ipBlock", peer["ipBlock"])
        else:
            yield from rules.label_selector(f"{path}.{key}", peer[key])
    if not given:
        yield required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        yield rules.forbidden(path, "may not specify both ipBlock and another peer")


def _ip_block(path: str, block: Obj) -> rules.Errors:
    cidr = block.get("cidr", "")
    if not cidr:
        yield required(f"{path}.cidr")
        return
    yield from rules.cidr(f"{path}.cidr", cidr)
    whole = network(cidr)
    for i, text in enumerate(block.get("except") or () if whole else ()):
        yield from rules.cidr(f"{path}.except[{i}]", text)
        part = network(text)
        if part and not (part.version == whole.version and part.subnet_of(whole) and part != whole):
            yield invalid_value(f"{path}.except[{i}]", text, "must be a strict subset of `cidr`")


def network(cidr: str) -> Any:
    """Return the network that a CIDR names, None when it names none."""
    try:
        return ipaddress.ip_network(cidr if "/" in cidr else "", strict=False)
    except ValueError:
        return None


def _warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    """Tell of ranges that say more than they mean."""
    for direction, side in DIRECTIONS:
        for i, rule in enumerate((new.get("spec") or {}).get(direction) or ()):
            for j, peer in enumerate(rule.get(side) or ()):
                block, path = peer.get("ipBlock") or {}, f"spec.{direction}[{i}].{side}[{j}].ipBlock"
                ranges = [(f"{path}.cidr", block.get("cidr", ""))]
                ranges += [(f"{path}.except[{k}]", cidr) for k, cidr in enumerate(block.get("except") or ())]
                for where, cidr in ranges:
                    net = network(cidr)
                    if net is not None and net.version == 4 and str(net) != cidr:
                        yield f'{where}: CIDR value "{cidr}" is ambiguous in this context (should be "{net}"?)'


NETWORK_POLICY = Kind(
    "NetworkPolicy", "networkpolicies", group="networking.k8s.io", short_names=("netpol",), generation=True,
    default=_default, validate=_validate, warnings=_warnings,
    columns=(
        NAME,
        Column("Pod-Selector", lambda o, now: selector_text((o.get("spec") or {}).get("podSelector") or {}),
               path="spec.podSelector"),
        AGE,
    ),
)
