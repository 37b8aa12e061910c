"""CSIDriver, CSINode and VolumeAttachment: what a storage driver can do, where it runs, what it has attached.

Models: pkg/registry/storage and pkg/apis/storage of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import go_shapes, rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE
from kubelab.units.storageclass import GROUP

DRIVER_DEFAULTS = {"attachRequired": True, "podInfoOnMount": False, "storageCapacity": False,
                   "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
                   "requiresRepublish": False, "seLinuxMount": False}
FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES = ("Persistent", "Ephemeral")
MIN_TOKEN_S, MAX_TOKEN_S = 600, 1 << 32
MAX_NODE_ID = 256
_ATTACHMENT = {"attacher": "", "source": go_shapes.Embedded({
    "persistentVolumeName": None, "inlineVolumeSpec": go_shapes.GIVEN}), "nodeName": ""}
MAX_METADATA_BYTES, MAX_ERROR_BYTES = 256 * 1024, 1024


def _default_driver(driver: Obj) -> None:
    spec = driver.setdefault("spec", {})
    for key, value in DRIVER_DEFAULTS.items():
        if spec.get(key) in (None, []):
            spec[key] = list(value) if isinstance(value, list) else value


def _uncounted(driver: Obj) -> None:
    driver["metadata"].pop("generation", None)  # it counts updates only


def _validate_driver(driver: Obj) -> Sequence[FieldError]:
    return list(_driver_errors(driver["spec"]))


def _driver_errors(spec: Obj) -> rules.Errors:
    yield from rules.known("spec.fsGroupPolicy", spec.get("fsGroupPolicy"), FS_GROUP_POLICIES)
    seen: set[str] = set()
    for i, request in enumerate(spec.get("tokenRequests") or ()):
        path, audience, seconds = f"spec.tokenRequests[{i}]", request.get("audience", ""), \
            request.get("expirationSeconds")
        if audience in seen:
            yield duplicate(f"{path}.audience", audience)
            continue
        seen.add(audience)
        if seconds is not None and seconds < MIN_TOKEN_S:
            yield invalid_value(f"{path}.expirationSeconds", seconds,
                                "may not specify a duration less than 10 minutes")
        elif seconds is not None and seconds > MAX_TOKEN_S:
            yield invalid_value(f"{path}.expirationSeconds", seconds,
                                "may not specify a duration larger than 2^32 seconds")
    for mode in spec.get("volumeLifecycleModes") or ():
        yield from rules.known("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        yield invalid_value("spec.nodeAllocatableUpdatePeriodSeconds", period,
                            "must be greater than or equal to 10 seconds")
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        yield invalid_value("spec.serviceAccountTokenInSecrets", in_secrets,
                            "serviceAccountTokenInSecrets is set but no tokenRequests are specified")


def _driver_warnings(new: Obj, old: Obj | None) -> Iterable[str]:
    spec, before = new["spec"], old["spec"].get("tokenRequests") if old else None
    asked = spec.get("tokenRequests")
    if asked and asked != before and spec.get("serviceAccountTokenInSecrets") is None:
        yield ("spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent "
               "possible logging of tokens in volume attributes")


def _driver_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    after, before = new["spec"], old["spec"]
    return [  # upstream names the first field so
        *rules.immutable("spec.attachedRequired", after.get("attachRequired"), before.get("attachRequired")),
        *rules.immutable("spec.volumeLifecycleModes", after.get("volumeLifecycleModes"),
                         before.get("volumeLifecycleModes"))]


def _flag(name: str) -> Column:
    key = name[0].lower() + name[1:]
    return Column(name, lambda o, now: bool(o["spec"].get(key)), type="boolean", path=f"spec.{key}")


def _audiences(driver: Obj) -> str:
    found = driver["spec"].get("tokenRequests")
    return ",".join(request.get("audience", "") for request in found) if found else "<unset>"


CSI_DRIVER = Kind(
    "CSIDriver", "csidrivers", group=GROUP, namespaced=False, generation=True,
    default=_default_driver, prepare_create=_uncounted, validate=_validate_driver, validate_update=_driver_update,
    warnings=_driver_warnings,
    columns=(
        NAME, _flag("AttachRequired"), _flag("PodInfoOnMount"), _flag("StorageCapacity"),
        Column("TokenRequests", lambda o, now: _audiences(o), path="spec.tokenRequests"),
        _flag("RequiresRepublish"),
        Column("Modes", lambda o, now: ",".join(o["spec"].get("volumeLifecycleModes") or ()) or NONE,
               path="spec.volumeLifecycleModes"),
        AGE,
    ),
)


def _drivers(node: Obj) -> list[Obj]:
    return (node.get("spec") or {}).get("drivers") or []


def _default_node(node: Obj) -> None:
    node.setdefault("spec", {}).setdefault("drivers", None)  # the field is always shown


def _validate_node(node: Obj) -> Sequence[FieldError]:
    return list(_node_errors(_drivers(node)))


def _node_errors(drivers: list[Obj]) -> rules.Errors:
    names: set[str] = set()
    for i, driver in enumerate(drivers):
        path, name, node_id = f"spec.drivers[{i}]", driver.get("name", ""), driver.get("nodeID", "")
        yield from _csi_name(f"{path}.name", name)
        if not node_id:
            yield required(f"{path}.nodeID")
        elif len(node_id) > MAX_NODE_ID:
            yield invalid_value(f"{path}.nodeID", node_id, f"must be {MAX_NODE_ID} characters or less")
        yield from rules.not_negative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
        keys: set[str] = set()
        for key in driver.get("topologyKeys") or ():
            if not key:
                yield required(path)
            if key in keys:
                yield duplicate(path, key)
            keys.add(key)
            yield from rules.qualified_name(path, key)


def _csi_name(path: str, name: str) -> rules.Errors:
    if not name:
        yield required(path)
        return
    if len(name) > 63:
        yield rules.too_long(path, 63)
    yield from rules.subdomain_name(path, name.lower())


def _node_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return [rules.invalid_struct("spec.drivers", _driver_struct(driver), rules.IMMUTABLE) for known in _drivers(old)
            for driver in _drivers(new) if driver.get("name") == known.get("name")
            and _driver_struct(driver) != _driver_struct(known)]


def _driver_struct(driver: Obj) -> Obj:
    """A driver as upstream compares and prints it: how many volumes it takes may change."""
    return {"Name": driver.get("name", ""), "NodeID": driver.get("nodeID", ""),
            "TopologyKeys": driver.get("topologyKeys"), "Allocatable": None}


CSI_NODE = Kind(
    "CSINode", "csinodes", group=GROUP, namespaced=False, default=_default_node, validate=_validate_node,
    validate_update=_node_update,
    columns=(
        NAME,
        Column("Drivers", lambda o, now: len(_drivers(o)), type="integer",
               description="Drivers indicates the number of CSI drivers registered on the node"),
        AGE,
    ),
)


def _prepare_attachment(attachment: Obj) -> None:
    attachment["status"] = {"attached": False}


def _validate_attachment(attachment: Obj) -> Sequence[FieldError]:
    return list(_attachment_errors(attachment.get("spec") or {}))


def _attachment_errors(spec: Obj) -> rules.Errors:
    yield from _source_errors(spec)
    yield from _csi_name("spec.attacher", spec.get("attacher", ""))
    name = (spec.get("source") or {}).get("persistentVolumeName")
    if name is not None:
        yield from rules.subdomain_name("spec.source.persistentVolumeName", name)


def _source_errors(spec: Obj) -> rules.Errors:
    source = spec.get("source") or {}
    if not spec.get("attacher"):
        yield required("spec.attacher")
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if name is None and inline is None:
        yield required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif name is not None and inline is not None:
        yield rules.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    elif name == "":
        yield required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    yield from rules.subdomain_name("spec.nodeName", spec.get("nodeName", ""))


def _attachment_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    if _spec(new) == _spec(old):
        return ()
    return [*_source_errors(_spec(new)),
            rules.invalid_struct("spec", go_shapes.printed(_ATTACHMENT, _spec(new)), rules.IMMUTABLE)]


def _attachment_status(new: Obj, old: Obj, subresource: str) -> Sequence[FieldError]:
    return list(_attachment_status_errors(new.get("status") or {}))


def _attachment_status_errors(status: Obj) -> rules.Errors:
    if sum(len(k) + len(v) for k, v in (status.get("attachmentMetadata") or {}).items()) > MAX_METADATA_BYTES:
        yield rules.too_long("status.attachmentMetadata", MAX_METADATA_BYTES)
    for key in ("attachError", "detachError"):
        found = status.get(key) or {}
        if len(found.get("message", "")) > MAX_ERROR_BYTES:
            yield rules.too_long(f"status.{key}.message", MAX_METADATA_BYTES)  # the limit that upstream names
        yield from rules.in_range(f"status.{key}.errorCode", found.get("errorCode"), 0, rules.MAX_INT32)


def _spec(attachment: Obj) -> Obj:
    return attachment.get("spec") or {}


VOLUME_ATTACHMENT = Kind(
    "VolumeAttachment", "volumeattachments", group=GROUP, namespaced=False, subresources=frozenset({"status"}),
    prepare_create=_prepare_attachment, validate=_validate_attachment, validate_update=_attachment_update,
    update_alone=True, validate_part=_attachment_status,
    columns=(
        NAME,
        Column("Attacher", lambda o, now: _spec(o).get("attacher", ""), format="name", path="spec.attacher"),
        Column("PV", lambda o, now: (_spec(o).get("source") or {}).get("persistentVolumeName") or "",
               path="spec.source.persistentVolumeName"),
        Column("Node", lambda o, now: _spec(o).get("nodeName", ""), path="spec.nodeName"),
        Column("Attached", lambda o, now: bool((o.get("status") or {}).get("attached")), type="boolean",
               path="status.attached"),
        AGE,
    ),
)
