"""What a pod's volumes may look like.

    spec.volumes[i] ─► SOURCES in upstream's order: the first that is set counts, the others are one too many

Invariant: what containers may mount are the sound volumes alone.
Models:    ValidateVolumes of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kubelab.machinery import names, quantity
from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.claim_validation import claim_spec_errors
from kubelab.units.pods.mounts import relative_path
from kubelab.units.pods.projected import config_items, downward_items, mode_errors, projected
from kubelab.units.volume_sources import ODD_PATHS, ODD_SURPLUS, ONE_ONLY, csi_driver, iscsi, needs
from kubelab.units.volume_sources import SOURCES as PERSISTENT

Check = Callable[[Obj, str], rules.Errors]
Volumes = Mapping[str, Obj]
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
# What the template of a claim may not say of its metadata, as upstream calls it.
NO_META = {"name": "name", "generateName": "generateName", "namespace": "namespace", "uid": "uID",
           "resourceVersion": "resourceVersion", "generation": "generation", "creationTimestamp": "creationTimestamp",
           "deletionTimestamp": "deletionTimestamp", "deletionGracePeriodSeconds": "deletionGracePeriodSeconds",
           "ownerReferences": "ownerReferences", "finalizers": "finalizers", "managedFields": "managedFields"}
LONG_ISCSI = ("Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
              "iscsi.initiatorName is specified.")


def check_volumes(volumes: Sequence[Obj], path: str, pod: str | None = None) -> tuple[Volumes, list[FieldError]]:
    """Return the sound volumes by name, and what is wrong with the rest.

    `pod`: the name of the pod, "" where it is not known yet, None in a template; claims are named after it.
    """
    sound: dict[str, Obj] = {}
    errors: list[FieldError] = []
    made = {f"{pod}-{v.get('name', '')}" for v in volumes if v.get("ephemeral") is not None} if pod else set()
    for i, volume in enumerate(volumes):
        field, name = f"{path}[{i}]", volume.get("name", "")
        wrong = [*_source_errors(volume, field, pod), *_name_errors(name, sound, f"{field}.name")]
        if not wrong:
            sound[name] = volume
        errors += wrong
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if claim in made:
            errors.append(invalid_value(f"{field}.persistentVolumeClaim.claimName", claim,
                                        "must not reference a PVC that gets created for an ephemeral volume"))
    return sound, errors


def _name_errors(name: str, taken: Mapping[str, Any], path: str) -> rules.Errors:
    yield from rules.label_name(path, name) if name else [required(path)]
    if name in taken:
        yield duplicate(path, name)


def _source_errors(volume: Obj, path: str, pod: str | None) -> rules.Errors:
    """Exactly one kind of source; each kind has its own rules."""
    found = [key for key in SOURCES if volume.get(key) is not None]
    for n, key in enumerate(found):
        if n:
            yield rules.forbidden(f"{path}.{SURPLUS.get(key, key)}", ONE_ONLY)
        else:
            yield from SOURCES[key](volume[key], f"{path}.{ODD_PATHS.get(key, key)}")
            yield from _with_name(key, volume, path, pod)
    if not found:
        yield required(path, "must specify a volume type")


def _with_name(key: str, volume: Obj, path: str, pod: str | None) -> rules.Errors:
    """What is wrong with a source because of the volume's name, or in a pod alone."""
    name, source = volume.get("name", ""), volume[key]
    if key == "iscsi" and source.get("initiatorName") is not None \
            and len(f"{name}:{source.get('targetPortal', '')}") > 64:
        yield invalid_value(f"{path}.name", name, LONG_ISCSI)
    elif key == "ephemeral" and pod and name:
        claim = f"{pod}-{name}"
        yield from (invalid_value(f"{path}.name", name, f'PVC name "{claim}": {why}')
                    for why in names.dns1123_subdomain_errors(claim))
    elif key == "image":
        if pod is not None and not source.get("reference"):  # a template may leave it to be filled in
            yield required(f"{path}.image.reference")
        yield from rules.one_of(f"{path}.image.pullPolicy", source.get("pullPolicy"), PULL_POLICIES)


def _image(source: Obj, path: str) -> rules.Errors:
    """Leave an image to `_with_name`, which knows whether it stands in a pod."""
    yield from ()


def _empty_dir(source: Obj, path: str) -> rules.Errors:
    if source.get("sizeLimit") is not None and quantity.parse(source["sizeLimit"]) < 0:
        yield rules.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _git_repo(source: Obj, path: str) -> rules.Errors:
    yield from needs(source, path, fields=("repository",))
    yield from relative_path(f"{path}.directory", source.get("directory", ""))


def _files(source: Obj, path: str, *, name: str) -> rules.Errors:
    """A Secret or a ConfigMap, whose keys become files."""
    yield from needs(source, path, fields=(name,))
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    yield from config_items(source.get("items") or (), f"{path}.items")


def _downward(source: Obj, path: str) -> rules.Errors:
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    yield from downward_items(source.get("items") or (), path)


def _projected(source: Obj, path: str) -> rules.Errors:
    yield from mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    yield from projected(source.get("sources") or (), path)


def _storageos(source: Obj, path: str) -> rules.Errors:
    secret = source.get("secretRef")
    here = source if secret is None else {**source, "secretRef": {**secret, "namespace": "-"}}  # that of the pod
    yield from PERSISTENT["storageos"](here, path)


def _csi(source: Obj, path: str) -> rules.Errors:
    yield from csi_driver(source.get("driver", ""), f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        yield required(f"{path}.nodePublishSecretRef.name")
    elif secret is not None:
        yield from rules.subdomain_name(f"{path}.name", secret["name"])


def _ephemeral(source: Obj, path: str) -> rules.Errors:
    template, field = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        yield required(field)
        return
    meta = template.get("metadata") or {}
    yield from names.validate_annotations(meta.get("annotations"), f"{field}.metadata.annotations")
    yield from names.validate_labels(meta.get("labels"), f"{field}.metadata.labels")
    for key, shown in NO_META.items():
        if meta.get(key):
            yield rules.forbidden(f"{field}.metadata.{shown}", "cannot be set")
    yield from claim_spec_errors(template.get("spec") or {}, f"{field}.spec")


SURPLUS = {**ODD_SURPLUS, "downwardAPI": "downwarAPI"}  # as upstream writes it
SOURCES: dict[str, Check] = {
    "emptyDir": _empty_dir, "hostPath": PERSISTENT["hostPath"], "gitRepo": _git_repo,
    "gcePersistentDisk": PERSISTENT["gcePersistentDisk"], "awsElasticBlockStore": PERSISTENT["awsElasticBlockStore"],
    "secret": partial(_files, name="secretName"), "nfs": PERSISTENT["nfs"],
    "iscsi": partial(iscsi, secret=(), unlike="must be valid format starting with iqn, eui, or naa"),
    "glusterfs": partial(needs, fields=("endpoints", "path")), "flocker": PERSISTENT["flocker"],
    "persistentVolumeClaim": partial(needs, fields=("claimName",)), "rbd": PERSISTENT["rbd"],
    "cinder": partial(needs, fields=("volumeID",), secret=("name",)), "cephfs": PERSISTENT["cephfs"],
    "quobyte": PERSISTENT["quobyte"], "downwardAPI": _downward, "fc": PERSISTENT["fc"],
    "flexVolume": PERSISTENT["flexVolume"], "configMap": partial(_files, name="name"),
    "azureFile": partial(needs, fields=("secretName", "shareName")), "vsphereVolume": PERSISTENT["vsphereVolume"],
    "photonPersistentDisk": PERSISTENT["photonPersistentDisk"], "portworxVolume": PERSISTENT["portworxVolume"],
    "azureDisk": PERSISTENT["azureDisk"], "storageos": _storageos, "projected": _projected,
    "scaleIO": PERSISTENT["scaleIO"], "csi": _csi, "ephemeral": _ephemeral, "image": _image,
}
