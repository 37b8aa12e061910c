"""What a pod's volumes may look like.

Models:   ValidateVolumes of pkg/apis/core/validation
Left out: the volume types of cloud vendors, which nothing here could mount
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.environment_validation import VOLUME_FIELDS, field_ref, resource_ref
from kubelab.units.mount_validation import no_backsteps, relative_path

HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
MAX_MODE = 0o777
BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def check_volumes(volumes: Sequence[Obj], path: str) -> tuple[set[str], list[FieldError]]:
    """Return the names that containers may mount, which are those of sound volumes, and what is wrong with the rest."""
    sound: set[str] = set()
    errors: list[FieldError] = []
    for i, volume in enumerate(volumes):
        field, name = f"{path}[{i}]", volume.get("name", "")
        wrong = list(_source_errors(volume, field))
        wrong += rules.label_name(f"{field}.name", name) if name else [required(f"{field}.name")]
        if name in sound:
            wrong.append(duplicate(f"{field}.name", name))
        if not wrong:
            sound.add(name)
        errors += wrong
    return sound, errors


def _source_errors(volume: Obj, path: str) -> rules.Errors:
    """Exactly one kind of source; each kind has its own rules."""
    order = [key for key in SOURCES if volume.get(key) is not None]
    others = [key for key in volume if key != "name" and key not in SOURCES and volume[key] is not None]
    for n, key in enumerate([*order, *others]):
        if n:
            yield rules.forbidden(f"{path}.{key}", "may not specify more than 1 volume type")
        elif key in SOURCES:
            yield from SOURCES[key](volume[key], f"{path}.{key}")
    if not order and not others:
        yield required(path, "must specify a volume type")


def _empty_dir(source: Obj, path: str) -> rules.Errors:
    if source.get("sizeLimit") is not None and quantity.parse(source["sizeLimit"]) < 0:
        yield rules.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(source: Obj, path: str) -> rules.Errors:
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from no_backsteps(f"{path}.path", source["path"])
    kind = source.get("type", "")
    if kind not in HOST_PATH_TYPES:
        yield rules.unsupported(f"{path}.type", kind, HOST_PATH_TYPES)


def _secret(source: Obj, path: str) -> rules.Errors:
    if not source.get("secretName"):
        yield required(f"{path}.secretName")
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    yield from _items(source.get("items") or (), f"{path}.items")


def _config_map(source: Obj, path: str) -> rules.Errors:
    if not source.get("name"):
        yield required(f"{path}.name")
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    yield from _items(source.get("items") or (), f"{path}.items")


def _mode(mode: int | None, path: str) -> rules.Errors:
    if mode is not None and not 0 <= mode <= MAX_MODE:
        yield invalid_value(path, mode, BAD_MODE)


def _items(items: Sequence[Obj], path: str) -> rules.Errors:
    for i, item in enumerate(items):
        if not item.get("key"):
            yield required(f"{path}[{i}].key")
        yield from _file(item.get("path", ""), f"{path}[{i}].path")
        yield from _mode(item.get("mode"), f"{path}[{i}].mode")


def _file(name: str, path: str) -> rules.Errors:
    """A file's path inside its volume."""
    if not name:
        yield required(path)
        return
    yield from relative_path(path, name)
    if name.startswith("..") and not name.startswith("../"):
        yield invalid_value(path, name, "must not start with '..'")


def _downward(source: Obj, path: str) -> rules.Errors:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for i, item in enumerate(source.get("items") or ()):
        yield from _downward_item(item, f"{path}.items[{i}]")


def _downward_item(item: Obj, path: str) -> rules.Errors:
    yield from _file(item.get("path", ""), f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from field_ref(field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            yield invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif resource is not None:
        yield from resource_ref(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _mode(item.get("mode"), f"{path}.mode")


def _projected(source: Obj, path: str) -> rules.Errors:
    yield from _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for i, part in enumerate(source.get("sources") or ()):
        field = f"{path}.sources[{i}]"
        found = [key for key in _PARTS if part.get(key) is not None]
        for n, key in enumerate(found):
            if n:
                yield rules.forbidden(f"{field}.{key}", "may not specify more than 1 volume type")
            else:
                yield from _PARTS[key](part[key], f"{field}.{key}")


def _named_part(source: Obj, path: str) -> rules.Errors:
    if not source.get("name"):
        yield required(f"{path}.name")
    yield from _items(source.get("items") or (), f"{path}.items")


def _token(source: Obj, path: str) -> rules.Errors:
    seconds = source.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    elif seconds is not None and seconds > 1 << 32:
        yield invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from _file(source["path"], f"{path}.path")


def _claim(source: Obj, path: str) -> rules.Errors:
    if not source.get("claimName"):
        yield required(f"{path}.claimName")


def _needs(*fields: str) -> Callable[[Obj, str], rules.Errors]:
    """Make the rule of a source that nothing here mounts: only whether it says what every such source says."""
    def check(source: Obj, path: str) -> rules.Errors:
        return (required(f"{path}.{field}") for field in fields if not source.get(field))

    return check


def _nfs(source: Obj, path: str) -> rules.Errors:
    yield from _needs("server", "path")(source, path)
    if source.get("path") and not source["path"].startswith("/"):
        yield invalid_value(f"{path}.path", source["path"], "must be an absolute path")


def _image(source: Obj, path: str) -> rules.Errors:
    if not source.get("reference") and path.startswith("spec.volumes"):  # a template may leave it to be filled in
        yield required(f"{path}.reference")
    if source.get("pullPolicy"):
        yield from rules.one_of(f"{path}.pullPolicy", source["pullPolicy"], ("Always", "IfNotPresent", "Never"))


_PARTS: dict[str, Callable[[Obj, str], rules.Errors]] = {
    "secret": _named_part, "configMap": _named_part, "downwardAPI": _downward, "serviceAccountToken": _token,
}

# In the order in which upstream looks at them: the first one counts, the others are one too many.
SOURCES: dict[str, Callable[[Obj, str], rules.Errors]] = {
    "emptyDir": _empty_dir, "hostPath": _host_path, "gitRepo": _needs("repository"),
    "gcePersistentDisk": _needs("pdName"), "awsElasticBlockStore": _needs("volumeID"), "secret": _secret, "nfs": _nfs,
    "iscsi": _needs("targetPortal", "iqn"), "glusterfs": _needs("endpoints", "path"), "persistentVolumeClaim": _claim,
    "rbd": _needs("monitors", "image"), "cinder": _needs("volumeID"), "cephfs": _needs("monitors"),
    "downwardAPI": _downward, "configMap": _config_map, "flexVolume": _needs("driver"), "projected": _projected,
    "csi": _needs("driver"), "ephemeral": _needs("volumeClaimTemplate"), "image": _image,
}
