"""Who may do what: no one grants what they do not hold, and a kubelet cares for its own node alone."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj

from .wire import ADMIN, MAPS, Answer, Caller, caller, config_map, server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
GROUP = "rbac.authorization.k8s.io"
READ_PODS: Obj = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def role(name: str, *rules: Obj, kind: str = "Role") -> Obj:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(name: str, user: str, ref: str, kind: str = "Role", bound: str = "RoleBinding") -> Obj:
    return {"apiVersion": f"{GROUP}/v1", "kind": bound, "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": ref},
            "subjects": [{"kind": "User", "apiGroup": GROUP, "name": user}]}


def rbac(*verbs: str, resources: tuple[str, ...] = ("roles", "rolebindings"), names: tuple[str, ...] = ()) -> Obj:
    return {"apiGroups": [GROUP], "resources": list(resources), "verbs": list(verbs),
            **({"resourceNames": list(names)} if names else {})}


async def give(admin: Caller, user: str, *rules: Obj) -> None:
    """Let a user do this in the namespace default."""
    assert (await admin.post(ROLES, role(f"of-{user}", *rules))).status == 201
    assert (await admin.post(BINDINGS, binding(f"of-{user}", user, f"of-{user}"))).status == 201


def is_forbidden(answer: Answer, why: str) -> None:
    assert (answer.status, answer.reason) == (403, "Forbidden"), answer
    assert why in answer.message, answer.message


async def test_a_denial_says_who_what_and_where() -> None:
    """RBAC's refusals are worded as Kubernetes words them, in a namespace, at cluster scope and for paths."""
    async with server() as api, caller(api, "ann", "devs") as ann:
        answer = await ann.get("/api/v1/namespaces/default/secrets/s")
        assert answer.message == ('secrets "s" is forbidden: User "ann" cannot get resource "secrets" in API group "" '
                                  'in the namespace "default"')
        assert answer.body["details"] == {"name": "s", "kind": "secrets"}
        assert (await ann.get("/apis/apps/v1/deployments")).message == (
            'deployments.apps is forbidden: User "ann" cannot list resource "deployments" in API group "apps" at the '
            "cluster scope")
        assert (await ann.get("/metrics")).message == 'forbidden: User "ann" cannot get path "/metrics"'


async def test_no_one_writes_a_role_with_more_than_they_hold() -> None:
    """Creating or changing a role with further rights is refused with the list of what is missing."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "ann", "devs") as ann:
        await give(admin, "ann", READ_PODS, rbac("create", "update", "patch", "get"))
        assert (await ann.post(ROLES, role("same", READ_PODS))).status == 201
        more = {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "delete"]}
        answer = await ann.post(ROLES, role("more", more))
        assert answer.message == (
            'roles.rbac.authorization.k8s.io "more" is forbidden: user "ann" (groups=["devs" "system:authenticated"]) '
            "is attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}\n'
            '{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "delete"]}')
        is_forbidden(await ann.send("PUT", f"{ROLES}/same", role("same", more)), "not currently held")
        patch = {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
        for media in ("application/merge-patch+json", "application/apply-patch+yaml"):
            sent = role("same") | patch if "apply" in media else patch
            force = "&force=true" if "apply" in media else ""
            answer = await ann.send("PATCH", f"{ROLES}/same?fieldManager=f{force}", sent, media=media)
            is_forbidden(answer, '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}')
        is_forbidden(await ann.post(f"{ROLES}?dryRun=All", role("more", more)), "not currently held")
        assert (await admin.get(f"{ROLES}/same")).body["rules"] == [READ_PODS]
        assert (await admin.get(f"{ROLES}/more")).status == 404


async def test_no_one_binds_a_role_with_more_than_they_hold() -> None:
    """A binding hands on a role's rights: it takes them all, or the verb `bind` on this very role."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "ann") as ann, caller(api, "bob") as bob:
        await give(admin, "ann", READ_PODS, rbac("create"))
        await give(admin, "bob", rbac("create"), rbac("bind", resources=("clusterroles",), names=("edit",)))
        assert (await admin.post(ROLES, role("reader", READ_PODS))).status == 201
        assert (await ann.post(BINDINGS, binding("b1", "x", "reader"))).status == 201
        is_forbidden(await ann.post(BINDINGS, binding("b2", "ann", "cluster-admin", "ClusterRole")),
                     '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}')
        assert (await ann.post(BINDINGS, binding("b3", "ann", "nowhere", "ClusterRole"))).message == (
            'clusterroles.rbac.authorization.k8s.io "nowhere" not found')
        assert (await bob.post(BINDINGS, binding("b4", "x", "edit", "ClusterRole"))).status == 201
        is_forbidden(await bob.post(BINDINGS, binding("b5", "x", "admin", "ClusterRole")), "not currently held")
        everywhere = binding("b6", "ann", "cluster-admin", "ClusterRole", "ClusterRoleBinding")
        is_forbidden(await ann.post(f"{RBAC}/clusterrolebindings", everywhere), "at the cluster scope")


async def test_the_verb_escalate_lifts_the_limit() -> None:
    """Who holds `escalate` on roles may write any role; an aggregated one takes all rights there are."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "ann") as ann:
        await give(admin, "ann", rbac("create", "escalate"))
        anything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        assert (await ann.post(ROLES, role("any", anything))).status == 201
        write = rbac("create", resources=("clusterroles",))
        assert (await admin.post(f"{RBAC}/clusterroles", role("w", write, kind="ClusterRole"))).status == 201
        bound = binding("w", "ann", "w", "ClusterRole", "ClusterRoleBinding")
        assert (await admin.post(f"{RBAC}/clusterrolebindings", bound)).status == 201
        gathers = role("g", kind="ClusterRole") | {"aggregationRule": {
            "clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
        is_forbidden(await ann.post(f"{RBAC}/clusterroles", gathers),
                     "must have cluster-admin privileges to use the aggregationRule")


async def test_reading_is_no_way_into_a_container() -> None:
    """Who may get but not create pods/exec cannot open a stream by a WebSocket, which begins with a GET."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "ann") as ann:
        await give(admin, "ann", {"apiGroups": [""], "verbs": ["get"], "resources": ["pods/exec", "pods/portforward"]})
        for stream in ("exec?command=id", "portforward?ports=80"):
            name = stream.partition("?")[0]
            is_forbidden(await ann.get(f"/api/v1/namespaces/default/pods/p/{stream}"),
                         f'User "ann" cannot create resource "pods/{name}" in API group "" in the namespace "default"')


async def test_a_selector_cannot_pretend_to_name_one_object() -> None:
    """A list limited to a named object is allowed by that name; a comma that belongs to a value limits nothing."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "ann") as ann:
        await give(admin, "ann", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"],
                                  "resourceNames": ["mine"]})
        for name in ("mine", "yours"):
            await admin.post(MAPS, config_map(name))
        listed = await ann.get(f"{MAPS}?fieldSelector=metadata.name%3Dmine")
        assert [item["metadata"]["name"] for item in listed.body["items"]] == ["mine"]
        for text in ("", "?fieldSelector=metadata.name%3Dyours",
                     "?fieldSelector=metadata.namespace!%3Dx%5C%2Cmetadata.name%3Dmine"):
            assert (await ann.get(MAPS + text)).status == 403


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────

PODS = "/api/v1/namespaces/default/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def pod(name: str, node: str, *secrets: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": node, "containers": [{"name": "c", "image": "x"}], "automountServiceAccountToken": False,
        "volumes": [{"name": s, "secret": {"secretName": s}} for s in secrets]}}


async def prepared(admin: Caller) -> None:
    for name in ("n1", "n2"):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        assert (await admin.post("/api/v1/nodes", node)).status == 201
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await admin.post("/api/v1/namespaces/default/serviceaccounts", account)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s-{name}"}}
        assert (await admin.post("/api/v1/namespaces/default/secrets", secret)).status == 201
        assert (await admin.post(PODS, pod(f"p-{name}", name, f"s-{name}"))).status == 201



MAY_NOT: tuple[tuple[str, str, Obj | None, str], ...] = (
    ("GET", "/api/v1/nodes", None, "only its own Node object"),
    ("GET", "/api/v1/nodes/n2", None, "only its own Node object"),
    ("PATCH", "/api/v1/nodes/n2/status", {"status": {}}, 'node "n1" is not allowed to modify node "n2"'),
    ("PATCH", "/api/v1/nodes/n1", {"spec": {"taints": None}}, 'node "n1" is not allowed to modify taints'),
    ("PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}},
     'node "n1" is not allowed to modify labels: node-restriction.kubernetes.io/x'),
    ("POST", "/api/v1/nodes", {"metadata": {"name": "n3"}}, 'node "n1" is not allowed to modify node "n3"'),
    ("DELETE", "/api/v1/nodes/n1", None, 'cannot delete resource "nodes"'),
    ("GET", "/api/v1/pods", None, "can only list/watch pods with spec.nodeName field selector"),
    ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", None, "can only list/watch pods with spec.nodeName"),
    ("GET", f"{PODS}/p-n2", None, 'no relationship found between node "n1" and this object'),
    ("PATCH", f"{PODS}/p-n2/status", {"status": {}}, "can only update pod status for pods with spec.nodeName set to"),
    ("PATCH", f"{PODS}/p-n1/status", {"metadata": {"labels": {"a": "b"}}}, "cannot update labels through pod status"),
    ("PATCH", f"{PODS}/p-n1", {"metadata": {"labels": {"a": "b"}}}, 'cannot patch resource "pods"'),
    ("DELETE", f"{PODS}/p-n2", None, 'node "n1" can only delete pods with spec.nodeName set to itself'),
    ("POST", f"{PODS}/p-n2/eviction", {}, 'node "n1" can only evict pods with spec.nodeName set to itself'),
    ("POST", PODS, pod("x", "n1"), 'pod does not have "kubernetes.io/config.mirror" annotation'),
    ("GET", "/api/v1/namespaces/default/secrets/s-n2", None, "no relationship found"),
    ("GET", "/api/v1/namespaces/default/secrets", None, "no relationship found"),
    ("GET", "/api/v1/secrets", None, "no relationship found"),
    ("GET", MAPS, None, "no relationship found"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {}, "not bound to a pod"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token",
     {"spec": {"boundObjectRef": {"kind": "Pod", "name": "p-n2"}}}, "scheduled on a different node"),
    ("POST", LEASES, {"metadata": {"name": "n2"}}, 'with the same name as the requesting node "n1"'),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x", None, "can only access leases in the"),
    ("GET", "/apis/apps/v1/deployments", None, 'cannot list resource "deployments"'),
)


async def test_a_kubelet_is_kept_to_its_node() -> None:
    """A kubelet's certificate opens its own Node, Pods, Lease and what its Pods refer to; all else is refused."""
    async with server() as api, caller(api, *ADMIN) as admin, caller(api, "system:node:n1", "system:nodes") as n1:
        await prepared(admin)
        for method, path, body, why in MAY_NOT:
            media = "application/merge-patch+json" if method == "PATCH" else "application/json"
            is_forbidden(await n1.send(method, path, body, media=media), why)
        token = {"spec": {"boundObjectRef": {"kind": "Pod", "name": "p-n1"}}}
        for method, path, body in (
                ("GET", "/api/v1/nodes/n1", None), ("PATCH", "/api/v1/nodes/n1/status", {"status": {}}),
                ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", None), ("GET", f"{PODS}/p-n1", None),
                ("PATCH", f"{PODS}/p-n1/status", {"status": {"phase": "Running"}}),
                ("GET", "/api/v1/namespaces/default/secrets/s-n1", None),
                ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", token),
                ("POST", LEASES, {"metadata": {"name": "n1"}}), ("GET", f"{LEASES}/n1", None)):
            media = "application/merge-patch+json" if method == "PATCH" else "application/json"
            answer = await n1.send(method, path, body, media=media)
            assert answer.status in (200, 201), (method, path, answer)


@pytest.mark.parametrize("headers", [
    {"Impersonate-User": "root"}, {"Impersonate-User": "ann", "Impersonate-Group": "x"},
    {"Impersonate-User": "system:serviceaccount:default:default"}])
async def test_acting_as_another_takes_the_right_to(headers: dict[str, str]) -> None:
    """Impersonation without the right is refused in the words of RBAC, and names whom one wanted to be."""
    async with server() as api, caller(api, "ann") as ann:
        answer = await ann.get("/api/v1/pods", **headers)
        is_forbidden(answer, 'User "ann" cannot impersonate resource "')
