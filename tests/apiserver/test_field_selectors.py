"""Field selectors: what each kind can be asked by, and how it refuses the rest."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Request, Response

from .conftest import ADMIN, World

PLAIN = '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'


@pytest.mark.parametrize(("path", "field"), [
    ("/api/v1/pods", "spec.host"), ("/api/v1/pods", "status.podIPs"), ("/api/v1/pods", "metadata.namespace"),
    ("/api/v1/persistentvolumes", "metadata.namespace"), ("/api/v1/nodes", "spec.unschedulable"),
    ("/api/v1/events", "reportingComponent"), ("/apis/events.k8s.io/v1/events", "regarding.fieldPath"),
    ("/apis/batch/v1/jobs", "status.successful"), ("/api/v1/services", "spec.type"),
    ("/apis/resource.k8s.io/v1/resourceslices", "spec.driver"), ("/api/v1/namespaces", "status.phase")])
async def test_a_kind_is_asked_by_the_fields_it_knows(world: World, path: str, field: str) -> None:
    """The fields of upstream's conversion functions are accepted, old names among them."""
    assert (await ask(world, path, f"{field}=nobody")).status == 200


@pytest.mark.parametrize(("path", "selector", "message"), [
    ("/api/v1/pods", "spec.x=1", "field label not supported: spec.x"),
    ("/api/v1/pods", "spec.y=1,spec.x=1", "field label not supported: spec.x"),
    ("/api/v1/nodes", "metadata.namespace=a", "field label not supported: metadata.namespace"),
    ("/apis/batch/v1/jobs", "spec.x=1", 'field label "spec.x" not supported for batchv1.Job'),
    ("/apis/batch/v1/cronjobs", "spec.x=1", PLAIN), ("/apis/apps/v1/deployments", "spec.x=1", PLAIN),
    ("/apis/resource.k8s.io/v1/resourceslices", "spec.x=1",
     "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.x"),
    ("/apis/events.k8s.io/v1/events", "involvedObject.kind=Pod", "field label not supported: involvedObject.kind"),
    ("/apis/events.k8s.io/v1/events", "source=kubelet", "field label not supported: source"),
    ("/api/v1/events", "regarding.kind=Pod", "field label not supported: regarding.kind"),
    ("/api/v1/pods", "spec.x", "invalid selector: 'spec.x'; can't understand 'spec.x'"),
    ("/api/v1/pods", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
    ("/api/v1/pods", "metadata.name=a\\b", "invalid field selector: invalid escape sequence: \\b"),
    ("/api/v1/pods", "metadata.name=a\\", "invalid field selector: invalid escape sequence: \\")])
async def test_other_fields_and_nonsense_are_bad_requests(world: World, path: str, selector: str,
                                                          message: str) -> None:
    """Each kind refuses in its own words; of several wrong fields the first in their order is told."""
    response = await ask(world, path, selector)
    assert isinstance(response.body, dict)
    assert (response.status, response.body["message"]) == (400, message)


async def test_a_value_may_hold_what_is_escaped(world: World) -> None:
    """A comma, an equals sign and a backslash stand in a value behind a backslash."""
    assert (await ask(world, "/api/v1/pods", r"metadata.name=a\=b\,c\\d")).status == 200


async def ask(world: World, path: str, selector: str) -> Response:
    return await world.server.handle(Request("GET", path, {"fieldSelector": selector}, {}, None, ADMIN))
