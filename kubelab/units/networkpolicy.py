"""NetworkPolicy: which pods may talk to which. Stored and shown here; a network plugin would enforce it.

Models: pkg/registry/networking/networkpolicy and pkg/apis/networking of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import Network, cidr_warnings, parse_cidr
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


def _ranges(policy: Obj) -> Iterator[tuple[str, str]]:
    """Yield every CIDR of a policy with its field path."""
    for direction, side in DIRECTIONS:
        for i, rule in enumerate((policy.get("spec") or {}).get(direction) or ()):
            for j, peer in enumerate(rule.get(side) or ()):
                block, path = peer.get("ipBlock"), f"spec.{direction}[{i}].{side}[{j}].ipBlock"
                if block is not None:
                    yield f"{path}.cidr", block.get("cidr", "")
                    yield from ((f"{path}.except[{k}]", cidr) for k, cidr in enumerate(block.get("except") or ()))


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
    whole = parse_cidr(cidr)
    for i, text in enumerate(block.get("except") or () if whole else ()):
        yield from rules.cidr(f"{path}.except[{i}]", text)
        part = parse_cidr(text)
        if whole is not None and part is not None and not _within(part[1], whole[1]):
            yield invalid_value(f"{path}.except[{i}]", text, "must be a strict subset of `cidr`")


def _within(part: Network, whole: Network) -> bool:
    return part.version == whole.version and part.prefixlen > whole.prefixlen and part.network_address in whole


def _warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    for field, cidr in _ranges(new):
        yield from cidr_warnings(field, cidr)


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
