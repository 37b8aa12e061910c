"""An operator as kopf's documentation writes them: it owns a ConfigMap for each Greeting. Knows nothing of kubelab."""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    kubernetes.config.load_kube_config()


@kopf.on.create("example.com", "v1", "greetings")
def create(body: Any, spec: Any, name: str, namespace: str, **_: Any) -> dict[str, Any]:
    kopf.info(body, reason="Greeted", message=f"Said hello to {spec['whom']}.")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-text"},
              "data": {"text": f"Hello, {spec['whom']}!"}}
    kopf.adopt(config)
    made = kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, config)
    return {"configMap": made.metadata.name}


@kopf.on.update("example.com", "v1", "greetings", field="spec.whom")
def update(new: str, name: str, namespace: str, **_: Any) -> None:
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(f"{name}-text", namespace,
                                                              {"data": {"text": f"Hello, {new}!"}})


@kopf.on.delete("example.com", "v1", "greetings")
def delete(name: str, logger: Any, **_: Any) -> None:
    logger.info("goodbye, %s", name)
