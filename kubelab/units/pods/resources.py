"""What a pod asks for and may use in all: the sum of its containers, or what starting it takes, if that is more.

    max(containers + sidecars, each init container + the sidecars before it) + overhead

Models:    k8s.io/component-helpers/resource
"""

from __future__ import annotations

from fractions import Fraction

from kubelab.machinery.quantity import canonical, format_bytes, parse
from kubelab.machinery.request import Obj

Amounts = dict[str, Fraction]


def pod_amounts(spec: Obj, which: str) -> Amounts:
    """Return the amount of each resource in a pod's `requests` or `limits`."""
    total = container_amounts(spec, which)
    for name, text in ((spec.get("resources") or {}).get(which) or {}).items():  # of the pod as a whole
        total[name] = parse(text)
    if spec.get("overhead") and (which == "requests" or total):
        overhead = {name: parse(text) for name, text in spec["overhead"].items()}
        add(total, {k: v for k, v in overhead.items() if which == "requests" or k in total})
    return total


def container_amounts(spec: Obj, which: str) -> Amounts:
    """Return the amount of each resource in the `requests` or `limits` of a pod's containers together."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add(total, amounts(container, which))
    starting: Amounts = {}
    sidecars: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = amounts(container, which)
        if container.get("restartPolicy") == "Always":
            add(total, own)
            add(sidecars, own)
            own = dict(sidecars)
        else:
            add(own, sidecars)
        _raise_to(starting, own)
    _raise_to(total, starting)
    return total


def amounts(container: Obj, which: str) -> Amounts:
    return {name: parse(text) for name, text in ((container.get("resources") or {}).get(which) or {}).items()}


def add(total: Amounts, more: Amounts) -> None:
    """Add `more` to `total`, in place."""
    for name, amount in more.items():
        total[name] = total.get(name, Fraction(0)) + amount


def _raise_to(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        if amount > total.get(name, Fraction(-1)):
            total[name] = amount


def written(name: str, amount: Fraction) -> str:
    """Write an amount of a resource as Kubernetes shows a sum of it: 1500m, 64Mi."""
    counted = amount.denominator == 1
    if counted and amount % 1024 == 0 and any(word in name for word in ("memory", "storage", "hugepages-")):
        return format_bytes(int(amount)) if amount else "0"
    return canonical(f"{int(amount * 10**9)}n")
