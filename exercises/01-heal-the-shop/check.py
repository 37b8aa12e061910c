"""Heal the shop: is there a way from the door to three ready pods?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelab.lab import Look, Requirement

SPACE = "shop"


def check(look: Look) -> Iterator[Requirement]:
    deployment = look.get("deployments", "shop", SPACE) or {}
    pods = [pod for pod in look.list("pods", SPACE, selector="app=shop") if "deletionTimestamp" not in pod["metadata"]]
    ready = {pod["metadata"]["uid"] for pod in pods if is_ready(pod)}
    yield Requirement("Three pods of Deployment shop are ready", len(ready) == 3 and wanted(deployment) == 3,
                      why_not_three(deployment, pods, ready))

    yield Requirement("Its pods have a readiness probe", is_probed(deployment),
                      "A probe that fails is to be healed, not removed: without it a broken shop gets customers.")

    behind = endpoints(look)
    yield Requirement("Service shop has all three behind it", len(ready) == 3 and behind == ready,
                      why_not_behind(look, behind))

    status, said = look.visit("shop", 80, SPACE)
    yield Requirement("http://shop.shop/ answers", status == 200,
                      f"It does not: {said[:160]}. Which port does the Service send to, and who listens there?")


def wanted(deployment: dict[str, Any]) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 0))


def is_probed(deployment: dict[str, Any]) -> bool:
    return bool(deployment) and all("readinessProbe" in c for c in deployment["spec"]["template"]["spec"]["containers"])


def is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def endpoints(look: Look) -> set[str]:
    slices = look.list("endpointslices", SPACE, selector="kubernetes.io/service-name=shop")
    return {e["targetRef"]["uid"] for s in slices for e in s.get("endpoints") or ()
            if e.get("targetRef") and (e.get("conditions") or {}).get("ready", True)}


def why_not_three(deployment: dict[str, Any], pods: list[dict[str, Any]], ready: set[str]) -> str:
    if not deployment:
        return "There is no Deployment shop in namespace shop. ex.start(cluster) sets the exercise up."
    if not ready and pods:
        return "Pods run, but none is ready. %kubectl describe pods -n shop: what does the readiness probe say?"
    if wanted(deployment) != 3:
        return f"The Deployment asks for {wanted(deployment)}. How does one ask for more?"
    return f"{len(ready)} of 3 are ready. Give them a moment, or ask one that is not: %kubectl describe pods -n shop"


def why_not_behind(look: Look, behind: set[str]) -> str:
    service = look.get("services", "shop", SPACE)
    if service is None:
        return "There is no Service shop in namespace shop."
    if not behind:
        selector = ", ".join(f"{k}={v}" for k, v in (service["spec"].get("selector") or {}).items())
        return f"It has nobody: it looks for ready pods labelled {selector or 'nothing'}. Which labels do yours carry?"
    return f"{len(behind)} of 3 are behind it; only ready pods count."
