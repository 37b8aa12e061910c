"""The programs that kubelab ships in place of container images, on the standard library alone.

Invariant: nothing here imports more than `kubelab.machinery.ports` of kubelab; the shim holds all of it in memory.
"""
