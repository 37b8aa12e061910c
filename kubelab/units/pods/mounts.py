"""Where a container may have its volumes.

Models: ValidateVolumeMounts and ValidateVolumeDevices of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
RECURSIONS = ("Disabled", "Enabled", "IfPossible")
BLOCK = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"


def mount_errors(container: Obj, volumes: Mapping[str, Obj], path: str) -> rules.Errors:
    whole, seen = f"{path}.volumeMounts", set()
    devices = {d.get("name", ""): d.get("devicePath", "") for d in container.get("volumeDevices") or ()}
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        field, name, where = f"{whole}[{i}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{field}.name")
        if name not in volumes:
            yield rules.not_found(f"{field}.name", name)
        if not where:
            yield required(f"{field}.mountPath")
        if where in seen:
            yield invalid_value(f"{field}.mountPath", where, "must be unique")
        seen.add(where)
        if name in devices:
            yield invalid_value(f"{field}.name", name, "must not already exist in volumeDevices")
        if where in devices.values():
            yield invalid_value(f"{field}.mountPath", where, "must not already exist as a path in volumeDevices")
        yield from _part_errors(mount, field, whole)
        yield from _propagation_errors(mount.get("mountPropagation"), container, f"{whole}.mountPropagation")
        yield from _read_only_errors(mount, f"{whole}.recursiveReadOnly")


def _part_errors(mount: Obj, field: str, whole: str) -> rules.Errors:
    """What is wrong with the part of a volume that is mounted; upstream does not say of which mount, at `whole`."""
    part, expression = mount.get("subPath", ""), mount.get("subPathExpr", "")
    yield from relative_path(f"{whole}.subPath", part)
    if part and expression:
        yield invalid_value(f"{field}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
    yield from relative_path(f"{whole}.subPathExpr", expression)


def _propagation_errors(propagation: str | None, container: Obj, path: str) -> rules.Errors:
    yield from rules.known(path, propagation, PROPAGATIONS)
    if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        yield rules.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def _read_only_errors(mount: Obj, path: str) -> rules.Errors:
    recursion = mount.get("recursiveReadOnly")
    yield from rules.known(path, recursion, RECURSIONS)
    if recursion in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield rules.forbidden(path, "may only be specified when readOnly is true")
        if mount.get("mountPropagation", "None") != "None":
            yield rules.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def device_errors(container: Obj, volumes: Mapping[str, Obj], path: str) -> rules.Errors:
    mounts = {m.get("name", ""): m.get("mountPath", "") for m in container.get("volumeMounts") or ()}
    named: set[str] = set()
    used: set[str] = set()
    for i, device in enumerate(container.get("volumeDevices") or ()):
        field, name, where = f"{path}.volumeDevices[{i}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield required(f"{field}.name")
        if name in named:
            yield invalid_value(f"{field}.name", name, "must be unique")
        yield from _block_errors(name, volumes, f"{field}.name")
        if not where:
            yield required(f"{field}.devicePath")
        if where in used:
            yield invalid_value(f"{field}.devicePath", where, "must be unique")
        if ".." in where.split("/"):
            yield invalid_value(f"{field}.devicePath", where, "can not contain backsteps ('..')")
        else:
            used.add(where)
        if name in mounts:
            yield invalid_value(f"{field}.name", name, "must not already exist in volumeMounts")
        if where in mounts.values():
            yield invalid_value(f"{field}.devicePath", where, "must not already exist as a path in volumeMounts")
        named |= {name} - {""}


def _block_errors(name: str, volumes: Mapping[str, Obj], path: str) -> rules.Errors:
    if name not in volumes:
        yield rules.not_found(path, name)
    elif all(volumes[name].get(key) is None for key in ("persistentVolumeClaim", "ephemeral")):
        yield invalid_value(path, name, BLOCK)


def relative_path(field: str, path: str) -> rules.Errors:
    """A path that stays below where it starts."""
    if path.startswith("/"):
        yield invalid_value(field, path, "must be a relative path")
    yield from no_backsteps(field, path)


def no_backsteps(field: str, path: str) -> rules.Errors:
    if ".." in path.split("/"):
        yield invalid_value(field, path, "must not contain '..'")


def file_path(field: str, path: str) -> rules.Errors:
    """A file's path inside its volume, whose names that begin with two dots belong to the kubelet."""
    yield from relative_path(field, path)
    if path.startswith("..") and not path.startswith("../"):
        yield invalid_value(field, path, "must not start with '..'")
