"""A stand-in for a cluster with a shop in it, as much as the first exercise's check looks at."""

from __future__ import annotations

from typing import Any

from kubelab.lab import Look
from kubelab.machinery.yaml import load_all


class ShopLook(Look):
    """Holds what a cluster would make of these manifests: nginx serves port 80, and nothing else listens."""

    def __init__(self, manifests: str) -> None:
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in load_all(manifests)}
        deployment = self.objects.get(("Deployment", "shop"))
        self.pods = self._pods(deployment) if deployment else []

    @staticmethod
    def _pods(deployment: dict[str, Any]) -> list[dict[str, Any]]:
        spec, template = deployment["spec"], deployment["spec"]["template"]
        probe = template["spec"]["containers"][0].get("readinessProbe", {}).get("httpGet", {"port": 80})
        status = "True" if probe["port"] == 80 else "False"
        return [{"metadata": {"name": f"shop-{i}", "uid": f"uid-{i}", "labels": template["metadata"]["labels"]},
                 "status": {"conditions": [{"type": "Ready", "status": status}]}} for i in range(spec["replicas"])]

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        return self.objects.get(({"deployments": "Deployment", "services": "Service"}[resource], name))

    def list(self, resource: str, namespace: str | None = None, *, selector: str | None = None) -> list[dict[str, Any]]:
        if resource == "pods":
            return self.pods
        service = self.get("services", "shop")
        wanted = service["spec"]["selector"].items() if service else {("no", "service")}
        return [{"endpoints": [{"targetRef": {"uid": p["metadata"]["uid"]},
                                "conditions": {"ready": p["status"]["conditions"][0]["status"] == "True"}}
                               for p in self.pods if wanted <= p["metadata"]["labels"].items()]}]

    def visit(self, service: str, port: int, namespace: str, path: str = "/") -> tuple[int, str]:
        found = self.get("services", service)
        ready = any(e["conditions"]["ready"] for s in self.list("endpointslices") for e in s["endpoints"])
        if not found or not ready:
            return 503, "no endpoints available for service"
        return (200, "hello") if found["spec"]["ports"][0]["targetPort"] == 80 else (502, "connection refused")
