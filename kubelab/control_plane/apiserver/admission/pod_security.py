"""PodSecurity: a namespace's labels say which Pod Security Standard its pods keep, and what happens if not.

    pod-security.kubernetes.io/{enforce,warn,audit}: {privileged,baseline,restricted}

Models:    k8s.io/pod-security-admission/admission
Left out:  exemptions, and defaults for namespaces without labels
"""

from __future__ import annotations

from collections.abc import Iterator

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.errors import FieldError, invalid
from kubelab.machinery.request import Obj
from kubelab.units.pods.security import LEVELS, violations

PREFIX = "pod-security.kubernetes.io/"
TEMPLATED = ("replicationcontrollers", "replicasets", "deployments", "daemonsets", "statefulsets", "jobs", "cronjobs",
             "podtemplates")
STRICTER = ("privileged", "baseline", "restricted")
MODES = ("enforce", "audit", "warn")


class PodSecurity(Plugin):
    name = "PodSecurity"
    handles = ("CREATE pods", "UPDATE pods", "UPDATE pods/ephemeralcontainers", "CREATE namespaces",
               "UPDATE namespaces", *(f"{op} {plural}" for op in ("CREATE", "UPDATE") for plural in TEMPLATED))

    def validate(self, a: Attributes) -> None:
        if a.call.kind.plural == "namespaces":
            self._namespace(a)
            return
        labels = ((self.get("", "namespaces", a.namespace) or NO_OBJ).get("metadata") or NO_OBJ).get("labels") or NO_OBJ
        levels = {mode: labels[PREFIX + mode] for mode in MODES if labels.get(PREFIX + mode) in LEVELS}
        spec = _spec_of(a.obj, a.call.kind.plural) if levels else None
        if spec is None or (a.old and spec == _spec_of(a.old, a.call.kind.plural)):
            return
        found = {level: violations(level, spec) for level in set(levels.values())}
        standards = {mode: f'"{level}:{_version(labels, mode)}"' for mode, level in levels.items()}
        enforced = a.call.kind.plural == "pods" and bool(found[levels["enforce"]]) if "enforce" in levels else False
        if "audit" in levels and found[levels["audit"]]:
            a.call.audit[PREFIX + "audit-violations"] = \
                f"would violate PodSecurity {standards['audit']}: {', '.join(found[levels['audit']])}"
        if enforced:
            raise a.forbidden(f"violates PodSecurity {standards['enforce']}: {', '.join(found[levels['enforce']])}")
        if "warn" in levels and found[levels["warn"]]:
            a.call.warnings.append(f"would violate PodSecurity {standards['warn']}: "
                                   f"{', '.join(found[levels['warn']])}")

    def _namespace(self, a: Attributes) -> None:
        """Refuse labels that mean nothing, and warn of pods that break the level from now on."""
        labels = a.obj["metadata"].get("labels") or NO_OBJ
        before = (a.old.get("metadata") or NO_OBJ).get("labels") or NO_OBJ
        if not any(label.startswith(PREFIX) for label in labels):
            return
        errors = list(_label_errors(labels))
        if errors and errors != list(_label_errors(before)):
            raise invalid("", "Namespace", a.name, errors)
        level, version = _enforced(labels)
        if a.old and (level, version) != _enforced(before) and level != "privileged":
            was, its_version = _enforced(before)
            if version != its_version or STRICTER.index(level) > STRICTER.index(was):
                a.call.warnings += self._existing(a.name, level, version)

    def _existing(self, namespace: str, level: str, version: str) -> Iterator[str]:
        by_reason: dict[str, list[str]] = {}
        for pod in self.objects("", "pods", namespace):
            found = violations(level, pod["spec"])
            if found:
                reasons = ", ".join(text.partition(" (")[0] for text in found)
                by_reason.setdefault(reasons, []).append(pod["metadata"]["name"])
        if by_reason:
            yield (f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level '
                   f'"{level}:{version}"')
        yield from sorted(_told(names, reasons) for reasons, names in by_reason.items())


def _told(names: list[str], reasons: str) -> str:
    others = f" (and {len(names) - 1} other pod{'s' if len(names) > 2 else ''})" if len(names) > 1 else ""
    return f"{names[0]}{others}: {reasons}"


def _enforced(labels: Obj) -> tuple[str, str]:
    """Return the level and the version that are enforced; what is no level is taken for the strictest."""
    level = labels.get(PREFIX + "enforce", "privileged")
    return level if level in LEVELS else "restricted", _version(labels, "enforce")


def _spec_of(obj: Obj, plural: str) -> Obj | None:
    if plural == "pods":
        return obj.get("spec")
    if plural == "cronjobs":
        obj = (obj.get("spec") or NO_OBJ).get("jobTemplate") or NO_OBJ
    template: Obj = (obj if plural == "podtemplates" else obj.get("spec") or NO_OBJ).get("template") or NO_OBJ
    return template.get("spec")


def _version(labels: Obj, mode: str) -> str:
    return str(labels.get(f"{PREFIX}{mode}-version") or "latest")


def _label_errors(labels: Obj) -> Iterator[FieldError]:
    for mode in MODES:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            yield FieldError(f"metadata.labels[{PREFIX}{mode}]", "FieldValueInvalid", f'Invalid value: "{level}": must '
                             f"be one of {', '.join(LEVELS)}")
        if version is not None and version != "latest" and not _is_version(version):
            yield FieldError(f"metadata.labels[{PREFIX}{mode}-version]", "FieldValueInvalid", f'Invalid value: '
                             f'"{version}": must be "latest" or "v1.x"')


def _is_version(text: str) -> bool:
    return text.startswith("v1.") and text[3:].isdigit()
