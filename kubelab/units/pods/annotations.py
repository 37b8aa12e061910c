"""The few annotations of a pod that mean something to the API server: mirrors, what deletion costs, older profiles.

Models:   ValidatePodSpecificAnnotations and its Updates of pkg/apis/core/validation
Left out: tolerations from before there was a field
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kubelab.machinery.errors import invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pods.mounts import relative_path

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_PROFILES = ("runtime/default", "docker/default", "unconfined")
APP_ARMOR_PROFILES = ("", "runtime/default", "unconfined")
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_COST = re.compile(r"0|-?[1-9][0-9]*")


def annotation_errors(notes: Mapping[str, str] | None, spec: Obj, path: str) -> rules.Errors:
    """What is wrong with the annotations of a pod or a template."""
    notes = notes or {}
    if MIRROR in notes and not spec.get("nodeName"):
        yield invalid_value(f"{path}[{MIRROR}]", notes[MIRROR],
                            "must set spec.nodeName if mirror pod annotation is set")
    cost = notes.get(DELETION_COST, "0")
    if not _COST.fullmatch(cost) or not -2**31 <= int(cost) < 2**31:
        yield invalid_value(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key, profile in sorted(notes.items(), key=lambda note: (note[0] != SECCOMP_POD, note[0])):
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            yield from _seccomp_errors(profile, f"{path}.{key}")
    for key, profile in sorted(notes.items()):
        if key.startswith(APP_ARMOR):
            yield from _app_armor_errors(key.removeprefix(APP_ARMOR), profile, spec, f"{path}[{key}]")


def _seccomp_errors(profile: str, path: str) -> rules.Errors:
    if profile.startswith("localhost/"):
        yield from relative_path(path, profile.removeprefix("localhost/"))
    elif profile not in SECCOMP_PROFILES:
        yield invalid_value(path, profile, "must be a valid seccomp profile")


def _app_armor_errors(container: str, profile: str, spec: Obj, path: str) -> rules.Errors:
    if all(one.get("name") != container for key in CONTAINERS for one in spec.get(key) or ()):
        yield invalid_value(path, container, "container not found")
    if profile not in APP_ARMOR_PROFILES and not profile.startswith("localhost/"):
        yield invalid_value(path, profile, f'invalid AppArmor profile name: "{profile}"')


def annotation_changes(new: Obj, old: Obj, path: str) -> rules.Errors:
    """What of a pod's annotations may not change, and what is wrong with those that it has now."""
    after, before = (pod["metadata"].get("annotations") or {} for pod in (new, old))
    for key in sorted(before):
        if after.get(key) != before[key]:
            if key.startswith(APP_ARMOR):
                yield rules.forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations")
            if key == MIRROR:
                yield rules.forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation")
    for key in sorted(after.keys() - before.keys()):
        if key.startswith(APP_ARMOR):
            yield rules.forbidden(f"{path}[{key}]", "may not add AppArmor annotations")
        if key == MIRROR:
            yield rules.forbidden(f"{path}[{key}]", "may not add mirror pod annotation")
    yield from annotation_errors(after, new["spec"], path)
