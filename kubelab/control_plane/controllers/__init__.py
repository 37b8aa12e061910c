"""The controllers: one file each, one verb each: reconcile(key)."""

from __future__ import annotations

from kubelab.control_plane.controllers.controller_manager import ControllerManager

__all__ = ["ControllerManager"]
