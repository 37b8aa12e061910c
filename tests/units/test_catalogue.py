"""The catalogue: every kind is found by the names people use, and declares what the API server needs."""

from __future__ import annotations

import pytest

from kubelab import units
from kubelab.machinery import schema
from kubelab.units.columns import describe

UNDESCRIBED = {("runtimeclasses", "Handler")}  # in Kubernetes as well


@pytest.mark.parametrize(("said", "meant"), [
    ("pods", "Pod"), ("po", "Pod"), ("Pod", "Pod"), ("deploy", "Deployment"), ("deployments.apps", "Deployment"),
    ("deployments.v1.apps", "Deployment"), ("svc", "Service"), ("ep", "Endpoints"), ("ing", "Ingress"),
    ("endpointslices.discovery.k8s.io", "EndpointSlice"), ("rc", "ReplicationController"), ("ev", "Event"),
])
def test_a_kind_is_found_by_the_names_people_use(said: str, meant: str) -> None:
    """Plural, singular, short and qualified names all lead to the kind."""
    assert units.find(said).kind == meant


def test_an_unknown_name_is_refused_as_kubectl_words_it() -> None:
    """A typing mistake is answered in the words kubectl users know."""
    with pytest.raises(units.UnknownKind, match="doesn't have a resource type"):
        units.find("poodles")


@pytest.mark.parametrize("kind", units.CATALOGUE, ids=lambda k: k.qualified)
def test_every_kind_is_complete(kind: units.Kind) -> None:
    """A kind has a schema, columns that begin with a name, and a description for each column."""
    assert schema.compiled(kind.api_version, kind.kind) is not None
    assert any(c.name == "Name" and c.format == "name" for c in kind.columns)
    assert all(describe(kind, column) or (kind.plural, column.name) in UNDESCRIBED for column in kind.columns)
    assert units.by_path(kind.group, kind.version, kind.plural) is kind
    assert units.by_kind(kind.api_version, kind.kind) is kind


@pytest.mark.parametrize("kind", units.CATALOGUE, ids=lambda k: k.qualified)
def test_selectable_fields_are_the_declared_ones(kind: units.Kind) -> None:
    """A field selector may name what the kind declares, and finds a text for each, also in an empty object."""
    obj = {"metadata": {"name": "x"}, "spec": {"containers": []}, "status": {}}
    assert set(kind.selectable(obj)) == set(kind.selectable_keys)
    assert all(isinstance(v, str) for v in kind.selectable(obj).values())
