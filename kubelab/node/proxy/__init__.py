"""kube-proxy: what makes a Service's ClusterIP and NodePort answer."""

from kubelab.node.proxy.service_proxy import ServiceProxy as ServiceProxy

__all__ = ["ServiceProxy"]
