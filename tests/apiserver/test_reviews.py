"""Reviews: who am I, may I, may they."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj, User

from .conftest import World

AUTHZ, AUTHN = "/apis/authorization.k8s.io/v1", "/apis/authentication.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io"
USER = User("u", ("system:authenticated",))


async def ask(world: World, path: str, spec: Obj, user: User | None = None) -> Obj:
    response = await world.send("POST", path, {"spec": spec}, user or USER)
    assert response.status == 201, response.body
    assert isinstance(response.body, dict)
    return response.body["status"]  # type: ignore[no-any-return]


async def test_who_am_i(world: World) -> None:
    """A SelfSubjectReview tells the name and groups."""
    status = await ask(world, f"{AUTHN}/selfsubjectreviews", {})
    assert status == {"userInfo": {"username": "u", "groups": ["system:authenticated"]}}


async def test_may_i_follows_the_bindings(world: World) -> None:
    """A binding is seen at once, with its reason."""
    path = f"{AUTHZ}/selfsubjectaccessreviews"
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    assert await ask(world, path, spec) == {"allowed": False}
    await world.client.create("rolebindings", {
        "metadata": {"name": "b"}, "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "u"}]})
    assert await ask(world, path, spec) == {
        "allowed": True, "reason": 'RBAC: allowed by RoleBinding "b/default" of ClusterRole "view" to User "u"'}


async def test_what_may_i_lists_the_rules(world: World) -> None:
    """An admin may everything, and the review says so."""
    admin = User("a", ("system:masters",))
    status = await ask(world, f"{AUTHZ}/selfsubjectrulesreviews", {"namespace": "default"}, admin)
    assert status["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]


@pytest.mark.parametrize(("path", "spec", "code"), [
    (f"{AUTHZ}/selfsubjectaccessreviews", {}, 422),
    (f"{AUTHZ}/subjectaccessreviews", {"resourceAttributes": {"verb": "get"}}, 422),
    (f"{AUTHN}/tokenreviews", {}, 400),
    (f"{AUTHZ}/namespaces/default/localsubjectaccessreviews",
     {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}, 422),
])
async def test_a_question_without_sense_is_refused(world: World, path: str, spec: Obj, code: int) -> None:
    """A review that asks nothing, or about elsewhere, is a 4xx."""
    response = await world.send("POST", path, {"spec": spec}, User("a", ("system:masters",)))
    assert response.status == code


async def test_a_token_review_says_what_is_wrong_with_a_token(world: World) -> None:
    """A token that means nothing here is no more than invalid."""
    admin = User("a", ("system:masters",))
    status = await ask(world, f"{AUTHN}/tokenreviews", {"token": "x"}, admin)
    assert status == {"user": {}, "error": "invalid bearer token"}


async def test_a_node_may_list_its_own_pods(world: World) -> None:
    """With a selector for its own name, and not without."""
    admin, path = User("a", ("system:masters",)), f"{AUTHZ}/subjectaccessreviews"
    asked: Obj = {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": {
        "verb": "list", "resource": "pods", "version": "v1", "fieldSelector": {"rawSelector": "spec.nodeName=n1"}}}
    assert (await ask(world, path, asked, admin))["allowed"] is True
    del asked["resourceAttributes"]["fieldSelector"]
    assert (await ask(world, path, asked, admin))["allowed"] is False
