"""Where a container may have its volumes.

Models: ValidateVolumeMounts and ValidateVolumeDevices of pkg/apis/core/validation
"""

from __future__ import annotations

from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def mount_errors(container: Obj, volumes: set[str], path: str) -> rules.Errors:
    seen = set()
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        field, name, where = f"{path}.volumeMounts[{i}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{field}.name")
        if name not in volumes:
            yield rules.not_found(f"{field}.name", name)
        if not where:
            yield required(f"{field}.mountPath")
        elif where in seen:
            yield invalid_value(f"{field}.mountPath", where, "must be unique")
        seen.add(where)
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid_value(f"{field}.subPathExpr", mount["subPathExpr"],
                                "subPathExpr and subPath are mutually exclusive")
        for key in ("subPath", "subPathExpr"):
            yield from relative_path(f"{field}.{key}", mount.get(key, ""))
        yield from _propagation_errors(mount.get("mountPropagation"), container, f"{field}.mountPropagation")


def _propagation_errors(propagation: str | None, container: Obj, path: str) -> rules.Errors:
    if propagation is None:
        return
    if propagation not in PROPAGATIONS:
        yield rules.unsupported(path, propagation, PROPAGATIONS)
    elif propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        yield rules.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def device_errors(container: Obj, volumes: set[str], path: str) -> rules.Errors:
    seen = set()
    for i, device in enumerate(container.get("volumeDevices") or ()):
        field, name, where = f"{path}.volumeDevices[{i}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield required(f"{field}.name")
        elif name not in volumes:
            yield rules.not_found(f"{field}.name", name)
        if not where:
            yield required(f"{field}.devicePath")
        elif where in seen:
            yield invalid_value(f"{field}.devicePath", where, "must be unique")
        elif ".." in where.split("/"):
            yield invalid_value(f"{field}.devicePath", where, "can not contain backsteps ('..')")
        seen.add(where)


def relative_path(field: str, path: str) -> rules.Errors:
    """A path that stays below where it starts."""
    if path.startswith("/"):
        yield invalid_value(field, path, "must be a relative path")
    yield from no_backsteps(field, path)


def no_backsteps(field: str, path: str) -> rules.Errors:
    if ".." in path.split("/"):
        yield invalid_value(field, path, "must not contain '..'")
