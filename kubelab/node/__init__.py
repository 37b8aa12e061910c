"""The node: the kubelet, the container runtime below it, and the proxy that carries Service traffic."""
