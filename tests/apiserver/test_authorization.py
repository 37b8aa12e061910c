"""Who may do what, and how a refusal is worded."""

from __future__ import annotations

import pytest

from kubelab.control_plane.apiserver.authentication import ANONYMOUS
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Obj, User
from kubelab.machinery.routes import RequestInfo
from kubelab.units.authorization import Authorizer
from kubelab.units.bootstrap_policy import policy_objects

GROUP = "rbac.authorization.k8s.io"
PLURAL = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles",
          "RoleBinding": "rolebindings", "Pod": "pods"}


def asks(verb: str, resource: str, namespace: str = "", name: str = "", group: str = "") -> RequestInfo:
    plural, _, subresource = resource.partition("/")
    return RequestInfo(verb, "", group, "v1", namespace, plural, name, subresource)


class World:
    """Stored roles, bindings and pods, and an authorizer over them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Obj] = {}
        for obj in policy_objects():
            self.add(obj)
        self.authorizer = Authorizer(lambda plural: [o for k, o in self.objects.items() if k[0] == plural],
                                     lambda *key: self.objects.get(key))

    def add(self, obj: Obj) -> None:
        metadata = obj["metadata"]
        self.objects[PLURAL[obj["kind"]], metadata.get("namespace", ""), metadata["name"]] = obj

    def bind(self, name: str, role: str, subject: Obj, namespace: str = "") -> None:
        kind, _, role = role.partition("/")
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        self.add({"kind": "RoleBinding" if namespace else "ClusterRoleBinding", "metadata": metadata,
                  "subjects": [subject], "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}})
        self.authorizer.invalidate()

    def may(self, user: User, info: RequestInfo) -> bool:
        return self.authorizer.authorize(user, info).allowed


@pytest.fixture
def world() -> World:
    return World()


ANN = User("ann", ("devs", "system:authenticated"))


def test_refusals_in_kubernetes_words(world: World) -> None:
    """A refusal names user, verb, resource, API group and where; for a path it names the path."""
    with pytest.raises(ApiError) as refused:
        world.authorizer.check(ANN, asks("list", "pods", "default"))
    assert refused.value.message == ('pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the '
                                     'namespace "default"')
    assert refused.value.details == {"kind": "pods"}
    with pytest.raises(ApiError) as refused:
        world.authorizer.check(ANN, asks("update", "deployments/scale", "shop", "web", "apps"))
    assert refused.value.message == ('deployments.apps "web" is forbidden: User "ann" cannot update resource '
                                     '"deployments/scale" in API group "apps" in the namespace "shop"')
    with pytest.raises(ApiError, match='cannot list resource "pods" in API group "" at the cluster scope'):
        world.authorizer.check(ANONYMOUS, asks("list", "pods"))
    with pytest.raises(ApiError) as refused:
        world.authorizer.check(ANONYMOUS, RequestInfo("get", "/apis"))
    assert refused.value.status == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
        "message": 'forbidden: User "system:anonymous" cannot get path "/apis"', "details": {}, "code": 403}


def test_what_everyone_may(world: World) -> None:
    """Nobody in particular sees health and version; who is known also sees discovery."""
    assert world.may(ANONYMOUS, RequestInfo("get", "/healthz"))
    assert not world.may(ANONYMOUS, RequestInfo("get", "/api"))
    assert world.may(ANN, RequestInfo("get", "/apis/apps/v1"))
    assert world.may(ANN, asks("create", "selfsubjectaccessreviews", group="authorization.k8s.io"))
    assert world.may(User("root", ("system:masters",)), asks("delete", "nodes", name="n"))


def test_a_role_holds_in_its_namespace(world: World) -> None:
    """A RoleBinding gives a role, or a cluster role, in one namespace, and the reason says through what."""
    world.add({"kind": "Role", "metadata": {"name": "r", "namespace": "parity"},
               "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})
    world.bind("u-reads", "Role/r", {"kind": "User", "name": "u"}, "parity")
    decision = world.authorizer.authorize(User("u"), asks("get", "pods", "parity", "x"))
    assert decision == (True, 'RBAC: allowed by RoleBinding "u-reads/parity" of Role "r" to User "u"')
    assert not world.may(User("u"), asks("get", "pods", "default", "x"))
    assert not world.may(User("u"), asks("list", "pods", "parity"))
    world.bind("devs", "ClusterRole/view", {"kind": "Group", "name": "devs"}, "shop")
    assert world.may(ANN, asks("watch", "deployments", "shop", group="apps"))
    assert not world.may(ANN, asks("get", "secrets", "shop", "s"))
    assert not world.may(ANN, asks("watch", "deployments", group="apps"))


def test_writes_are_seen_after_invalidate(world: World) -> None:
    """A user's rights are remembered until a role or binding changes."""
    assert not world.may(ANN, asks("list", "nodes"))
    world.bind("all", "ClusterRole/cluster-admin", {"kind": "User", "name": "ann"})
    assert world.may(ANN, asks("list", "nodes"))
    del world.objects["clusterrolebindings", "", "all"]
    world.authorizer.invalidate()
    assert not world.may(ANN, asks("list", "nodes"))


def test_names_subresources_and_wildcards(world: World) -> None:
    """resourceNames limit a rule to names; "*/scale" means that subresource of all, "*" means everything."""
    world.add({"kind": "ClusterRole", "metadata": {"name": "odd"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
        {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["update"]}]})
    world.bind("odd", "ClusterRole/odd", {"kind": "ServiceAccount", "name": "app", "namespace": "shop"})
    app = User("system:serviceaccount:shop:app")
    assert world.may(app, asks("get", "configmaps", "x", "one"))
    assert not world.may(app, asks("get", "configmaps", "x", "two"))
    assert not world.may(app, asks("list", "configmaps", "x"))
    assert world.may(app, asks("update", "deployments/scale", "x", "d", "apps"))
    assert not world.may(app, asks("update", "deployments", "x", "d", "apps"))


def test_a_missing_role_is_named(world: World) -> None:
    """A binding to a role that is not there gives nothing, and the refusal tells."""
    world.bind("broken", "ClusterRole/nowhere", {"kind": "User", "name": "ann"})
    with pytest.raises(ApiError, match=r'RBAC: .*"nowhere" not found'):
        world.authorizer.check(ANN, asks("list", "pods"))


def test_our_own_components_may_do_their_work(world: World) -> None:
    """Scheduler, controller manager, proxy and DNS hold what they need and no more."""
    scheduler, proxy = User("system:kube-scheduler"), User("system:kube-proxy")
    manager, dns = User("system:kube-controller-manager"), User("system:dns")
    assert world.may(scheduler, asks("create", "pods/binding", "shop", "p"))
    assert not world.may(scheduler, asks("create", "pods", "shop"))
    assert world.may(proxy, asks("watch", "endpointslices", group="discovery.k8s.io"))
    assert world.may(dns, asks("watch", "endpointslices", group="discovery.k8s.io"))
    assert not world.may(dns, asks("list", "secrets"))
    assert world.may(manager, asks("create", "pods", "shop"))
    assert world.may(manager, asks("update", "deployments/status", "shop", "web", "apps"))
    assert not world.may(manager, asks("create", "pods/exec", "shop", "p"))


def test_a_node_cares_for_itself_alone(world: World) -> None:
    """A node writes its own Node, Lease and pods, and reads the Secrets that its pods refer to."""
    node = User("system:node:n1", ("system:nodes", "system:authenticated"))
    for name, place in (("mine", "n1"), ("other", "n2")):
        world.add({"kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": {
            "nodeName": place, "containers": [], "volumes": [{"secret": {"secretName": f"{name}-secret"}}]}})
    assert world.may(node, asks("patch", "nodes/status", name="n1"))
    assert world.may(node, asks("patch", "pods/status", "shop", "mine"))
    assert world.may(node, asks("get", "secrets", "shop", "mine-secret"))
    assert world.may(node, asks("update", "leases", "kube-node-lease", "n1", "coordination.k8s.io"))
    for info, words in (
            (asks("patch", "nodes/status", name="n2"), 'node "n1" is not allowed to modify node "n2"'),
            (asks("patch", "pods/status", "shop", "other"), "spec.nodeName set to itself"),
            (asks("get", "secrets", "shop", "other-secret"), "no relationship found"),
            (asks("list", "secrets", "shop"), "no relationship found"),
            (asks("update", "leases", "kube-node-lease", "n2", "coordination.k8s.io"), "same name"),
            (asks("create", "deployments", "shop", group="apps"), "cannot create")):
        with pytest.raises(ApiError, match=words):
            world.authorizer.check(node, info)


def test_rules_of_a_user(world: World) -> None:
    """What a SelfSubjectRulesReview shows: the rules of the namespace and those of everywhere."""
    world.bind("devs", "ClusterRole/view", {"kind": "Group", "name": "devs"}, "shop")
    resources, urls = world.authorizer.rules_of(ANN, "shop")
    assert any("pods" in rule["resources"] for rule in resources)
    assert any("/healthz" in rule["nonResourceURLs"] for rule in urls)
    assert not any("pods" in rule["resources"] for rule in world.authorizer.rules_of(ANN, "other")[0])
