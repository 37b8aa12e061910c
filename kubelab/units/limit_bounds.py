"""What a LimitRange does to one object: what it fills in, and which of its bounds are broken.

Models:    plugin/pkg/admission/limitranger: mergePodResourceRequirements, PodValidateLimitFunc
"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.machinery.quantity import canonical, parse
from kubelab.machinery.request import Obj
from kubelab.units.pods.resources import Amounts, amounts, pod_amounts, written

NOTE = "kubernetes.io/limit-ranger"


def give_defaults(pod: Obj, limit_range: Obj) -> bool:
    """Fill in what containers do not say, note that on the pod, and return whether there was anything."""
    defaults: dict[str, Obj] = {"requests": {}, "limits": {}}
    for limit in limit_range["spec"].get("limits") or ():
        if limit["type"] == "Container":
            defaults["requests"].update(limit.get("defaultRequest") or {})
            defaults["limits"].update(limit.get("default") or {})
    notes: list[str] = []
    spec = pod["spec"]
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            notes += _filled(container, defaults, what)
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[NOTE] = f"LimitRanger plugin set: {'; '.join(notes)}"
    return bool(notes)


def _filled(container: Obj, defaults: dict[str, Obj], what: str) -> Iterator[str]:
    for which in ("requests", "limits"):
        given = (container.get("resources") or {}).get(which) or {}
        missing = {name: value for name, value in defaults[which].items() if name not in given}
        if missing:
            container["resources"] = {**(container.get("resources") or {}), which: {**given, **missing}}
            yield f"{', '.join(sorted(missing))} {which[:-1]} for {what} {container.get('name', '')}"


def pod_errors(pod: Obj, limit_range: Obj) -> Iterator[str]:
    """Yield what breaks a bound, container by container, then the pod as a whole."""
    spec = pod["spec"]
    for limit in limit_range["spec"].get("limits") or ():
        if limit["type"] == "Container":
            for container in (*spec["containers"], *(spec.get("initContainers") or ())):
                yield from bound_errors(limit, amounts(container, "requests"), amounts(container, "limits"))
        elif limit["type"] == "Pod":
            yield from bound_errors(limit, pod_amounts(spec, "requests"), pod_amounts(spec, "limits"))


def claim_errors(claim: Obj, limit_range: Obj) -> Iterator[str]:
    """Yield what breaks a bound on the storage that one claim asks for."""
    asked = amounts(claim["spec"], "requests")
    for limit in limit_range["spec"].get("limits") or ():
        if limit["type"] == "PersistentVolumeClaim":
            yield from bound_errors({k: limit[k] for k in ("type", "min") if k in limit}, asked, {})
            for name, text in sorted((limit.get("max") or {}).items()):
                words = f"maximum {name} usage per PersistentVolumeClaim is {canonical(text)}"
                if name not in asked:
                    yield f"{words}.  No request is specified"
                elif asked[name] > parse(text):
                    yield f"{words}, but request is {written(name, asked[name])}"


def bound_errors(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    """Yield what requests and limits break of one item's min, max and maxLimitRequestRatio."""
    type_ = limit["type"]
    for name, text in sorted((limit.get("min") or {}).items()):
        words = f"minimum {name} usage per {type_} is {canonical(text)}"
        if name not in requests:
            yield f"{words}.  No request is specified"
        elif requests[name] < parse(text):
            yield f"{words}, but request is {written(name, requests[name])}"
        elif name in limits and limits[name] < parse(text):
            yield f"{words}, but limit is {written(name, limits[name])}"
    for name, text in sorted((limit.get("max") or {}).items()):
        words = f"maximum {name} usage per {type_} is {canonical(text)}"
        if name not in limits:
            yield f"{words}.  No limit is specified"
        elif limits[name] > parse(text):
            yield f"{words}, but limit is {written(name, limits[name])}"
        elif requests.get(name, 0) > parse(text):
            yield f"{words}, but request is {written(name, requests[name])}"
    for name, text in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        words = f"{name} max limit to request ratio per {type_} is {canonical(text)}"
        if not requests.get(name):
            yield f"{words}, but no request is specified or request is 0"
        elif not limits.get(name):
            yield f"{words}, but no limit is specified or limit is 0"
        elif limits[name] / requests[name] > parse(text):
            yield f"{words}, but provided ratio is {float(limits[name] / requests[name]):f}"
