"""Cells as `kubectl get` prints them, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.clock import timestamp
from kubelab.units.columns import selector_text, shortened

NOW = 1_767_323_045.0


def cells(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    obj.setdefault("metadata", {}).setdefault("name", "x")
    return {c.name: c.cell(obj, NOW) for c in units.find(kind).columns}


def test_a_deployment_shows_how_many_of_its_pods_are_ready() -> None:
    """READY is ready over wanted; counts that nobody reported are zero."""
    got = cells("deploy", units.Deployment("web", image="nginx", replicas=3) | {"status": {"readyReplicas": 2}})
    assert (got["Ready"], got["Up-to-date"], got["Available"]) == ("2/3", 0, 0)
    assert (got["Containers"], got["Images"], got["Selector"]) == ("web", "nginx", "app=web")


@pytest.mark.parametrize(("conditions", "unschedulable", "word"), [
    ([], False, "Unknown"), ([{"type": "Ready", "status": "True"}], False, "Ready"),
    ([{"type": "Ready", "status": "Unknown"}], False, "NotReady"),
    ([{"type": "Ready", "status": "True"}], True, "Ready,SchedulingDisabled")])
def test_a_node_says_whether_it_takes_pods(conditions: list[Any], unschedulable: bool, word: str) -> None:
    """STATUS is the Ready condition, and whether the node is cordoned."""
    node = {"spec": {"unschedulable": unschedulable}, "status": {"conditions": conditions}}
    assert cells("node", node)["Status"] == word


def test_a_node_shows_its_roles_and_addresses() -> None:
    """Roles come from labels, addresses from the status."""
    got = cells("node", {
        "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "master"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                   "nodeInfo": {"kubeletVersion": "v1.36.2", "osImage": "Debian"}}})
    assert (got["Roles"], got["Version"], got["Internal-IP"]) == ("master,worker", "v1.36.2", "10.0.0.1")
    assert (got["External-IP"], got["OS-Image"], got["Kernel-Version"]) == ("<none>", "Debian", "<unknown>")


@pytest.mark.parametrize(("spec", "external", "ports"), [
    ({"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}, "<none>", "80/TCP"),
    ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}, "<none>", "80:30080/TCP"),
    ({"type": "LoadBalancer", "ports": []}, "<pending>", "<none>"),
    ({"type": "ExternalName", "externalName": "e.com"}, "e.com", "<none>")])
def test_a_service_shows_where_it_is_reached(spec: dict[str, Any], external: str, ports: str) -> None:
    """EXTERNAL-IP and PORT(S) depend on the type."""
    got = cells("svc", {"spec": spec})
    assert (got["External-IP"], got["Port(s)"]) == (external, ports)


def test_endpoints_show_three_and_count_the_rest() -> None:
    """Many addresses are cut short."""
    subset = {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(5)], "ports": [{"port": 80}]}
    assert cells("ep", {"subsets": [subset]})["Endpoints"] == "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."
    assert cells("ep", {})["Endpoints"] == "<none>"
    assert cells("endpointslices", {"addressType": "IPv4"})["Endpoints"] == "<unset>"
    assert shortened(["a", "b", "c"]) == "a,b,c"


def test_an_event_tells_when_what_and_who() -> None:
    """A repeated event shows its last time and its count; one without times says unknown."""
    event = {"type": "Normal", "reason": "Scheduled", "message": " done\n", "count": 4,
             "firstTimestamp": timestamp(NOW - 600), "lastTimestamp": timestamp(NOW - 5),
             "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet", "host": "n"}}
    got = cells("ev", event)
    assert (got["Last Seen"], got["First Seen"], got["Count"]) == ("5s", "10m", 4)
    assert (got["Object"], got["Source"], got["Message"]) == ("pod/p", "kubelet, n", "done")
    assert cells("ev", {})["Last Seen"] == "<unknown>"


def test_a_selector_reads_as_on_the_command_line() -> None:
    """Labels and expressions are joined as `kubectl get -l` takes them."""
    assert selector_text({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
        {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "DoesNotExist"}]}) \
        == "a=2,b=1,c in (x,y),!d"
    assert selector_text({}) == selector_text(None) == "<none>"


def test_a_binding_lists_its_subjects_by_kind() -> None:
    """Users, groups and service accounts stand in columns of their own."""
    got = cells("rolebindings", {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
        {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]})
    assert (got["Role"], got["Users"], got["Groups"], got["ServiceAccounts"]) == ("Role/r", "u", "", "n/s")


def test_an_ingress_shows_hosts_and_ports() -> None:
    """No host means any; TLS adds 443."""
    got = cells("ing", units.Ingress("web"))
    assert (got["Class"], got["Hosts"], got["Ports"]) == ("<none>", "*", "80")
    secure = units.Ingress("web", host="a.b")
    secure["spec"]["tls"] = [{"hosts": ["a.b"]}]
    assert cells("ing", secure)["Ports"] == "80, 443"


@pytest.mark.parametrize(("hosts", "text"), [
    (["a", "b", "c"], "a,b,c"), (["a", "b", "c", "d", "e"], "a,b,c + 2 more..."), (["", "a"], "a"), ([""], "*"),
    (["a", "b", "c", ""], "a,b,c + 1 more..."), (["", "a", "b", "c"], "a,b,c")])
def test_an_ingress_counts_the_rules_behind_three_hosts(hosts: list[str], text: str) -> None:
    """A rule without a host counts among those that are left out."""
    rules = [{"host": host} if host else {} for host in hosts]
    assert cells("ing", {"spec": {"rules": rules}})["Hosts"] == text


@pytest.mark.parametrize(("metric", "current", "text"), [
    ({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
     {"resource": {"current": {"averageUtilization": 35, "averageValue": "1"}}}, "cpu: 35%/80%"),
    ({"type": "Resource", "resource": {"name": "cpu", "target": {"averageValue": "500m"}}}, {}, "cpu: <unknown>/500m"),
    ({"type": "Resource", "resource": {"name": "cpu", "target": {"value": "5"}}}, {}, "cpu: <unknown>/<auto>"),
    ({"type": "Pods", "pods": {"target": {"averageValue": "10"}}}, {"pods": {"current": {"averageValue": "7"}}},
     "7/10"),
    ({"type": "Object", "object": {"target": {"value": "10"}}}, {"object": {"current": {"value": "3"}}}, "3/10"),
    ({"type": "External", "external": {"target": {"averageValue": "10"}}}, {}, "<unknown>/10 (avg)"),
    ({"type": "Moon"}, {}, "<unknown type>")])
def test_an_autoscaler_shows_what_it_measures_and_aims_at(metric: Any, current: Any, text: str) -> None:
    """Each source of metrics has its way of saying it."""
    spec = {"scaleTargetRef": {}, "maxReplicas": 1, "metrics": [metric]}
    scaler = {"spec": spec, "status": {"currentMetrics": [current]}}
    assert cells("hpa", scaler)["Targets"] == text


@pytest.mark.parametrize(("ref", "text"), [
    (None, "<unset>"), ({"name": "p"}, "*/p"), ({"name": "p", "namespace": "n"}, "n/p"),
    ({"selector": {"matchLabels": {"a": "b"}}},
     "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}")])
def test_a_policy_binding_names_its_parameters(ref: Any, text: str) -> None:
    """A parameter may be in any namespace, or chosen by labels."""
    assert cells("validatingadmissionpolicybindings", {"spec": {"paramRef": ref}})["ParamRef"] == text


def test_a_claim_that_names_a_volume_has_no_capacity_yet() -> None:
    """Before it is bound, what it will have is not known: zero."""
    claim = {"spec": {"volumeName": "v"}, "status": {"phase": "Pending"}}
    assert (cells("pvc", claim)["Capacity"], cells("pvc", {"spec": {}})["Capacity"]) == ("0", "")


def test_slices_show_ports_without_a_number_by_name() -> None:
    """A port that only has a name is shown by it; one with neither is any port."""
    ports = [{"name": "web", "port": 80}, {"name": "dns"}, {}]
    assert cells("endpointslices", {"ports": ports})["Ports"] == "80,dns,*"


@pytest.mark.parametrize(("kind", "note"), [
    ("sc", "storageclass.kubernetes.io/is-default-class"),
    ("vac", "volumeattributesclass.alpha.kubernetes.io/is-default-class")])
def test_the_default_class_says_so_behind_its_name(kind: str, note: str) -> None:
    """Whoever claims without a class gets this one."""
    assert cells(kind, {"metadata": {"name": "a", "annotations": {note: "true"}}})["Name"] == "a (default)"


@pytest.mark.parametrize(("conditions", "deleted", "word"), [
    ([], False, "Running"), (["Suspended"], False, "Suspended"), (["FailureTarget"], False, "FailureTarget"),
    (["FailureTarget", "Failed"], True, "Failed"), (["Suspended"], True, "Terminating"),
    (["Complete"], True, "Complete")])
def test_a_job_says_how_it_goes(conditions: list[str], deleted: bool, word: str) -> None:
    """Its end comes first, then its deletion, then what holds it up."""
    job: dict[str, Any] = {"metadata": {"deletionTimestamp": timestamp(NOW)} if deleted else {}, "spec": {},
                           "status": {"conditions": [{"type": c, "status": "True"} for c in conditions]}}
    assert cells("jobs", job)["Status"] == word
