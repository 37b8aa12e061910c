"""What stands in files of a pod: keys of Secrets and ConfigMaps, its own fields, tokens; alone or put together.

    projected.sources[i] ─┬─ secret, configMap      key ─► path
                          ├─ downwardAPI            field ─► path      no two sources may write the same path
                          └─ serviceAccountToken

Models:   validateProjectionSources, validateDownwardAPIVolumeFile and validateKeyToPath of pkg/apis/core/validation
Left out: clusterTrustBundle and podCertificate, which are off in a plain cluster
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.machinery.errors import invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.environment import VOLUME_FIELDS, field_ref, resource_ref
from kubelab.units.pods.mounts import file_path

MAX_MODE = 0o777
BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
CONFLICT = "conflicting duplicate paths"
PARTS = ("secret", "configMap", "downwardAPI", "serviceAccountToken")


def mode_errors(mode: int | None, path: str) -> rules.Errors:
    if mode is not None and not 0 <= mode <= MAX_MODE:
        yield invalid_value(path, mode, BAD_MODE)


def config_items(items: Sequence[Obj], path: str) -> rules.Errors:
    """What is wrong with the keys that become files."""
    for i, item in enumerate(items):
        yield from _item(item, f"{path}[{i}]")


def _item(item: Obj, path: str) -> rules.Errors:
    if not item.get("key"):
        yield required(f"{path}.key")
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from file_path(f"{path}.path", item.get("path", ""))
    yield from mode_errors(item.get("mode"), f"{path}.mode")


def downward_items(items: Iterable[Obj], path: str) -> rules.Errors:
    """What is wrong with the fields that become files; upstream does not say which of them."""
    for item in items:
        yield from _downward_item(item, path)


def _downward_item(item: Obj, path: str) -> rules.Errors:
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from file_path(f"{path}.path", item.get("path", ""))
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from field_ref(field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            yield invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from resource_ref(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from mode_errors(item.get("mode"), f"{path}.mode")


def projected(sources: Sequence[Obj], path: str) -> rules.Errors:
    """What is wrong with the sources of a volume that is put together at `path`."""
    taken: set[str] = set()
    for i, source in enumerate(sources):
        field = f"{path}.sources[{i}]"
        found = [part for part in PARTS if source.get(part) is not None]
        for part in found:
            where, one = f"{field}.{part}", source[part]
            if part in ("secret", "configMap"):
                yield from _named(one, where, path, taken)
            elif part == "downwardAPI":
                yield from _downward(one, where, path, taken)
            elif part == "serviceAccountToken":
                yield from _token(one, where, path)
        if len(found) > 1:
            yield rules.forbidden(field, "may not specify more than 1 volume type per source")


def _named(source: Obj, field: str, path: str, taken: set[str]) -> rules.Errors:
    if not source.get("name"):
        yield required(f"{field}.name")
    for i, item in enumerate(source.get("items") or ()):
        yield from _item(item, f"{field}.items[{i}]")
        yield from _once(item.get("path", ""), source.get("name", ""), path, taken)


def _downward(source: Obj, field: str, path: str, taken: set[str]) -> rules.Errors:
    for item in source.get("items") or ():
        yield from _downward_item(item, field)
        yield from _once(item.get("path", ""), item.get("path", ""), path, taken)


def _once(file: str, shown: str, path: str, taken: set[str]) -> rules.Errors:
    if file and file in taken:
        yield invalid_value(path, shown, CONFLICT)
    elif file:
        taken.add(file)


def _token(source: Obj, field: str, path: str) -> rules.Errors:
    seconds = source.get("expirationSeconds", 3600)
    if seconds < 600:
        yield invalid_value(f"{field}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds > 1 << 32:
        yield invalid_value(f"{field}.expirationSeconds", seconds,
                            "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from file_path(f"{path}.path", source["path"])
