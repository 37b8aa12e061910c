"""The scheduler: queue, cache, cycle and plugins around one loop."""

from __future__ import annotations

from kubelab.control_plane.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
