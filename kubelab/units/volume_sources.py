"""Where the storage of a PersistentVolume really is: one source of many, and what each of them must say.

    spec.csi ─► SOURCES["csi"] ─► its errors      spec.nfs beside it ─► may not specify more than 1 volume type

Most of them may stand in a pod too, and say the same there: `pods/volumes.py` takes them from here.

Invariant: the sources are looked at in upstream's order; the first that is set counts, the others are one too many.
Models:    validate*PersistentVolumeSource of pkg/apis/core/validation
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from kubelab.machinery import names
from kubelab.machinery.errors import invalid_value, required, too_long
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.mounts import no_backsteps

Check = Callable[[Obj, str], rules.Errors]
BAD_FORMAT = "must be valid format"
ONE_ONLY = "may not specify more than 1 volume type"
HOST_PORT = "must be a host:port pair or multiple pairs separated by commas"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
INITIATORS = (re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$"), re.compile(r"eui.[A-Za-z0-9]{16}$"),
              re.compile(r"naa.[A-Za-z0-9]{32}$"))
CSI_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")


DEFAULTS: dict[str, Obj] = {
    "hostPath": {"type": ""}, "iscsi": {"iscsiInterface": "default"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
}


def source_defaults(volume: Obj) -> None:
    """Fill in the source of a PersistentVolume's spec or of a pod's volume."""
    for key, given in DEFAULTS.items():
        if volume.get(key) is not None:
            volume[key] = {**given, **{k: v for k, v in volume[key].items() if v or k not in given}}


def needs(source: Obj, path: str, *, fields: tuple[str, ...], secret: tuple[str, ...] = ()) -> rules.Errors:
    """Ask for fields, and for those of a secret where there is one."""
    yield from (required(f"{path}.{field}") for field in fields if not source.get(field))
    if source.get("secretRef") is not None:
        yield from (required(f"{path}.secretRef.{key}") for key in secret if not source["secretRef"].get(key))


def _host_path(source: Obj, path: str) -> rules.Errors:
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from no_backsteps(f"{path}.path", source["path"])
    yield from rules.known(f"{path}.type", source.get("type", ""), HOST_PATH_TYPES)


def _nfs(source: Obj, path: str) -> rules.Errors:
    yield from needs(source, path, fields=("server", "path"))
    if not source.get("path", "").startswith("/"):
        yield invalid_value(f"{path}.path", source.get("path", ""), "must be an absolute path")


def _disk(source: Obj, path: str, *, field: str) -> rules.Errors:
    yield from needs(source, path, fields=(field,))
    if not 0 <= source.get("partition", 0) <= 255:
        yield invalid_value(f"{path}.partition", source["partition"], "must be between 1 and 255, inclusive")


def iscsi(source: Obj, path: str, *, secret: tuple[str, ...], unlike: str) -> rules.Errors:
    """What is wrong with an iSCSI disk; `unlike` says so of an initiator that is of no known form at all."""
    yield from needs(source, path, fields=("targetPortal", "iqn"))
    if source.get("iqn"):
        yield from _initiator(f"{path}.iqn", source["iqn"], unlike)
    yield from rules.in_range(f"{path}.lun", source.get("lun"), 0, 255)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    yield from needs(source, path, fields=(), secret=secret)
    if source.get("initiatorName") is not None:
        yield from _initiator(f"{path}.initiatorname", source["initiatorName"], unlike)


def _initiator(field: str, name: str, unlike: str) -> rules.Errors:
    if not name.startswith(("iqn", "eui", "naa")):
        yield invalid_value(field, name, unlike)
    elif not any(pattern.match(name) for pattern in INITIATORS):
        yield invalid_value(field, name, BAD_FORMAT)


def _fibre_channel(source: Obj, path: str) -> rules.Errors:
    targets = source.get("targetWWNs")
    if not targets and not source.get("wwids"):
        yield required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and source.get("wwids"):
        yield invalid_value(f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously")
    if targets and source.get("lun") is None:
        yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets:
        yield from rules.in_range(f"{path}.lun", source["lun"], 0, 255)


def _glusterfs(source: Obj, path: str) -> rules.Errors:
    yield from needs(source, path, fields=("endpoints", "path"))
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        yield invalid_value(f"{path}.endpointsNamespace", "",
                            "if the endpointnamespace is set, it must be a valid namespace name")
    elif namespace is not None:
        yield from rules.label_name(f"{path}.endpointsNamespace", namespace)


def _flocker(source: Obj, path: str) -> rules.Errors:
    name, uuid = source.get("datasetName"), source.get("datasetUUID")
    if not name and not uuid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uuid:
        yield invalid_value(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in (name or ""):
        yield invalid_value(f"{path}.datasetName", name, "must not contain '/'")


def _quobyte(source: Obj, path: str) -> rules.Errors:
    if not source.get("registry"):
        yield required(f"{path}.registry", HOST_PORT)
    elif len(source.get("tenant", "")) >= 65:
        yield required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in source["registry"].split(","):
            if pair.count(":") != 1:
                yield invalid_value(f"{path}.registry", source["registry"], HOST_PORT)
    yield from needs(source, path, fields=("volume",))


def _flex(source: Obj, path: str) -> rules.Errors:
    yield from needs(source, path, fields=("driver",))
    for key in sorted(source.get("options") or ()):
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            yield invalid_value(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def _azure_file(source: Obj, path: str) -> rules.Errors:
    yield from needs(source, path, fields=("secretName", "shareName"))
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _azure_disk(source: Obj, path: str) -> rules.Errors:
    uri, kind = source.get("diskURI", ""), source.get("kind")
    yield from needs(source, path, fields=("diskName", "diskURI"))
    yield from rules.known(f"{path}.cachingMode", source.get("cachingMode"), ("None", "ReadOnly", "ReadWrite"))
    yield from rules.known(f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield rules.unsupported(f"{path}.diskURI", uri, ("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers"
                                                         "/microsoft.compute/disks/{disk-id}",))
    elif kind not in (None, "Managed") and not uri.startswith("https://"):
        yield rules.unsupported(f"{path}.diskURI", uri, ("https://{account-name}.blob.core.windows.net/{container-name}"
                                                         "/{disk-name}.vhd",))


def _local(source: Obj, path: str) -> rules.Errors:
    if not source.get("path"):
        yield required(f"{path}.path")
    elif ".." in source["path"].split("/"):
        yield invalid_value(f"{path}.path", source["path"], "must not contain '..'")


def _storageos(source: Obj, path: str) -> rules.Errors:
    if not source.get("volumeName"):
        yield required(f"{path}.volumeName")
    else:
        yield from rules.label_name(f"{path}.volumeName", source["volumeName"])
    if source.get("volumeNamespace"):
        yield from rules.label_name(f"{path}.volumeNamespace", source["volumeNamespace"])
    yield from needs(source, path, fields=(), secret=("name", "namespace"))


def csi_driver(driver: str, path: str) -> rules.Errors:
    """What is wrong with the name of a CSI driver."""
    if not driver:
        yield required(path)
    if len(driver) > 63:
        yield too_long(path, 63)
    yield from (invalid_value(path, driver, why) for why in names.dns1123_subdomain_errors(driver.lower()))


def _csi(source: Obj, path: str) -> rules.Errors:
    yield from csi_driver(source.get("driver", ""), f"{path}.driver")
    yield from needs(source, path, fields=("volumeHandle",))
    for key in CSI_SECRETS:
        if source.get(key) is not None:
            for part, check in (("name", names.dns1123_subdomain_errors), ("namespace", names.dns1123_label_errors)):
                field, value = f"{path}.{key}.{part}", source[key].get(part)
                yield from rules.messages(field, value, check) if value else [required(field)]


SOURCES: dict[str, Check] = {
    "hostPath": _host_path, "gcePersistentDisk": partial(_disk, field="pdName"),
    "awsElasticBlockStore": partial(_disk, field="volumeID"), "glusterfs": _glusterfs, "flocker": _flocker,
    "nfs": _nfs, "rbd": partial(needs, fields=("monitors", "image")),
    "quobyte": _quobyte, "cephfs": partial(needs, fields=("monitors",)),
    "iscsi": partial(iscsi, secret=("name",), unlike=BAD_FORMAT),
    "cinder": partial(needs, fields=("volumeID",), secret=("name", "namespace")), "fc": _fibre_channel,
    "flexVolume": _flex, "azureFile": _azure_file, "vsphereVolume": partial(needs, fields=("volumePath",)),
    "photonPersistentDisk": partial(needs, fields=("pdID",)), "portworxVolume": partial(needs, fields=("volumeID",)),
    "azureDisk": _azure_disk, "scaleIO": partial(needs, fields=("gateway", "system", "volumeName")), "local": _local,
    "storageos": _storageos, "csi": _csi,
}
ODD_PATHS = {"gcePersistentDisk": "persistentDisk"}  # as upstream writes them
ODD_SURPLUS = {"cephfs": "cephFS"}


def source_errors(spec: Obj) -> rules.Errors:
    """Yield what is wrong with the one source of a volume, or with having none or several."""
    found = [key for key in SOURCES if spec.get(key) is not None]
    for i, key in enumerate(found):
        if i and key != "flexVolume":  # which upstream never finds too many
            yield rules.forbidden(f"spec.{ODD_SURPLUS.get(key, key)}", ONE_ONLY)
            continue
        yield from SOURCES[key](spec[key], f"spec.{ODD_PATHS.get(key, key)}")
        if key == "local" and spec.get("nodeAffinity") is None:
            yield required("spec.nodeAffinity", "Local volume requires node affinity")
    if not found:
        yield required("spec", "must specify a volume type")
