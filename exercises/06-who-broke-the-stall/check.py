"""Who broke the stall? Is it as it was, with what came after, and is the name right?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelab.lab import Look, Requirement

SPACE, NAME, KEY = "market", "stall", "/registry/deployments/market/stall"
IMAGE, PORT, SECRET = "nginx", 80, "quince-4417"
REPLICAS, TEAM, CULPRIT = 4, "fruit", "night-shift"


def check(look: Look) -> Iterator[Requirement]:
    deployment = look.get("deployments", NAME, SPACE)
    if deployment is None:
        yield Requirement("There is a Deployment stall in namespace market", False,
                          "ex.start(cluster) sets the exercise up.")
        return
    lost = list(destroyed(deployment))
    yield Requirement("The container is what it was before it was broken", not lost,
                      f"Not yet as it was: {', '.join(lost)}. Which version in {KEY} had it last?")
    undone = list(forgotten(deployment))
    yield Requirement("What was asked for afterwards still holds", not undone,
                      f"Somebody wrote this after the break, and it is not so now: {', '.join(undone)}.")
    ready = (deployment.get("status") or {}).get("readyReplicas", 0)
    yield Requirement("All of its pods are ready", ready == REPLICAS and not (lost or undone), f"{ready} of {REPLICAS} "
                      "are ready. Give them a moment, or ask one that is not: %kubectl describe pods -n market")
    status, said = look.visit(NAME, 80, SPACE)
    yield Requirement("http://stall.market/ answers", status == 200, f"It does not: {said[:160]}")
    named = (deployment["metadata"].get("annotations") or {}).get("market/broken-by", "")
    yield Requirement("The annotation market/broken-by names who broke it", named == CULPRIT,
                      f"It was not {named}: who wrote the version in which the image changes?" if named else
                      "%kubectl annotate deployment stall -n market market/broken-by=NAME")


def destroyed(deployment: dict[str, Any]) -> Iterator[str]:
    """Name what the broken write changed and nobody has brought back."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    if container.get("image") != IMAGE:
        yield "the image"
    if {e["name"]: e.get("value") for e in container.get("env") or ()}.get("STALL_KEY") != SECRET:
        yield "the key STALL_KEY"
    if (container.get("readinessProbe") or {}).get("httpGet", {}).get("port") != PORT:
        yield "the readiness probe"


def forgotten(deployment: dict[str, Any]) -> Iterator[str]:
    """Name what was asked for after the break and does not hold any more."""
    if deployment["spec"].get("replicas") != REPLICAS:
        yield "its replicas"
    if (deployment["metadata"].get("labels") or {}).get("team") != TEAM:
        yield "its label team"
