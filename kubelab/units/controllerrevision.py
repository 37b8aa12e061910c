"""ControllerRevision and PodTemplate: a template that is only kept, one with its number and one with nothing.

Models: pkg/registry/apps/controllerrevision and pkg/registry/core/podtemplate of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery import meta
from kubelab.machinery.errors import FieldError, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, containers_of, labels_text
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.template import template_errors


def _validate_revision(revision: Obj) -> Sequence[FieldError]:
    missing = [required("data", "data is mandatory")] if revision.get("data") is None else []
    return [*missing, *rules.not_negative("revision", revision.get("revision"))]


def _same_data(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.immutable("data", new.get("data"), old.get("data")))


def _controller(revision: Obj) -> str:
    owner = meta.controller_of(revision)
    if owner is None:
        return NONE
    group = owner["apiVersion"].rpartition("/")[0]
    kind = owner["kind"].lower()
    return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"


CONTROLLER_REVISION = Kind(
    "ControllerRevision", "controllerrevisions", group="apps",
    default=lambda o: o.update(revision=o.get("revision", 0)),
    validate=_validate_revision, validate_update=_same_data,
    columns=(
        NAME,
        Column("Controller", lambda o, now: _controller(o), description="Controller of the object"),
        Column("Revision", lambda o, now: o.get("revision", 0), path="revision"),
        AGE,
    ),
)


def _of_containers(key: str, obj: Obj) -> str:
    return ",".join(c.get(key, "") for c in containers_of(obj.get("template")))


POD_TEMPLATE = Kind(
    "PodTemplate", "podtemplates", meta_looks=(1, 0), generation=True,
    default=lambda o: template_defaults(o.setdefault("template", {})),
    validate=lambda o: list(template_errors("template", o["template"])),
    columns=(
        NAME,
        Column("Containers", lambda o, now: _of_containers("name", o),
               description="Names of each container in the template."),
        Column("Images", lambda o, now: _of_containers("image", o),
               description="Images referenced by each container in the template."),
        Column("Pod Labels", lambda o, now: labels_text(o["template"]["metadata"].get("labels")),
               description="The labels for the pod template."),
    ),
)
