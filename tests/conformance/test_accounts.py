"""Accounts, certificates, reviews and events."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conformance.conftest import MERGE, STRATEGIC, Api

EVENTS = "/apis/events.k8s.io/v1"


def test_the_root_certificate_is_in_every_namespace(api: Api, ns: str) -> None:
    """It comes by itself, again when deleted, and is put right when changed."""
    path = f"/api/v1/namespaces/{ns}/configmaps/kube-root-ca.crt"
    first = api.until(path, bool)
    assert "BEGIN CERTIFICATE" in first["data"]["ca.crt"]
    assert api.delete(path).status == 200
    api.until(path, lambda o: o and o["metadata"]["uid"] != first["metadata"]["uid"])
    assert api.patch(path, {"data": {"ca.crt": "none"}}).status == 200
    api.until(path, lambda o: o["data"] == first["data"])


def test_the_token_of_an_account(api: Api, ns: str) -> None:
    """A token is made, reviewed, bound to the pod it is for, and shows who it is."""
    path = f"/api/v1/namespaces/{ns}/serviceaccounts"
    made = api.made(path, {"metadata": {"name": "robot"}})
    request = api.post(f"{path}/robot/token", {"spec": {"audiences": ["me"], "expirationSeconds": 3600}})
    token = request["status"]["token"]
    review = api.made("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token, "audiences": ["me"]}})
    assert review["status"]["authenticated"] and review["status"]["user"]["uid"] == made["metadata"]["uid"]
    assert review["status"]["user"]["username"] == f"system:serviceaccount:{ns}:robot"
    refused = api.made("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert not refused["status"].get("authenticated")


@pytest.mark.parametrize("of_account", [None, True, False])
@pytest.mark.parametrize("of_pod", [None, True, False])
def test_whether_the_token_is_mounted(api: Api, ns: str, of_account: bool | None, of_pod: bool | None) -> None:
    """The pod's word counts, else the account's, else yes."""
    account = {"metadata": {"name": "robot"}} | (
        {} if of_account is None else {"automountServiceAccountToken": of_account}
    )
    api.made(f"/api/v1/namespaces/{ns}/serviceaccounts", account)
    spec = {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "nginx"}]} | (
        {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    )
    made = api.made(f"/api/v1/namespaces/{ns}/pods", {"metadata": {"name": "p"}, "spec": spec})
    mounted = any(
        m["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        for m in made["spec"]["containers"][0].get("volumeMounts") or ()
    )
    assert mounted is (of_pod if of_pod is not None else of_account is not False)


def test_who_may_do_what(api: Api, ns: str) -> None:
    """Reviews about an account say what an impersonated request then meets."""
    api.made(f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "robot"}})
    user = f"system:serviceaccount:{ns}:robot"
    attributes = {"verb": "list", "resource": "configmaps", "version": "v1", "namespace": ns}
    for allowed in (False, True):
        for path in ("subjectaccessreviews", f"namespaces/{ns}/localsubjectaccessreviews"):
            review = api.made(
                f"/apis/authorization.k8s.io/v1/{path}",
                {
                    "metadata": {"namespace": ns} if "local" in path else {},
                    "spec": {"user": user, "resourceAttributes": attributes},
                },
            )
            assert review["status"]["allowed"] is allowed
        answer = api.get(f"/api/v1/namespaces/{ns}/configmaps", **{"Impersonate-User": user})
        assert answer.status == (200 if allowed else 403)
        if not allowed:
            assert answer.message == (
                f'configmaps is forbidden: User "{user}" cannot list resource "configmaps" in API '
                f'group "" in the namespace "{ns}"'
            )
            api.made(
                f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
                {
                    "metadata": {"name": "view"},
                    "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": ns}],
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                },
            )


def test_a_certificate_is_asked_for_approved_and_signed(api: Api, ns: str) -> None:
    """Approval and certificate are written through their own subresources, and conditions stay as they came."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e-user")])
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    api.made(
        path,
        {
            "metadata": {"name": ns},
            "spec": {
                "request": base64.b64encode(asked).decode(),
                "signerName": "example.com/e2e",
                "usages": ["digital signature"],
            },
        },
    )
    condition = {"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from a test"}
    read = api.get(f"{path}/{ns}/approval").body
    read["status"]["conditions"] = [condition]
    assert api.put(f"{path}/{ns}/approval", read)["status"]["conditions"][0]["type"] == "Approved"
    assert api.patch(f"{path}/{ns}/approval", {"metadata": {"annotations": {"patched": "yes"}}}).status == 200
    signed = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n").decode()
    patched = api.patch(
        f"{path}/{ns}/status", {"metadata": {"annotations": {"status": "yes"}}, "status": {"certificate": signed}}
    )
    assert patched.status in (200, 422)
    assert api.get(f"{path}/{ns}/status")["status"]["conditions"][0]["reason"] == "E2E"
    api.delete(f"{path}/{ns}")


def test_the_life_of_an_event(api: Api, ns: str) -> None:
    """Written as events.k8s.io/v1, it is patched, counted in a series, listed everywhere, and one with core/v1's."""
    path = f"{EVENTS}/namespaces/{ns}/events"
    body = {
        "metadata": {"name": "e", "labels": {"story": ns}},
        "eventTime": "2017-09-19T13:49:16.000000Z",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "note": "This is e",
        "regarding": {"namespace": ns, "kind": "Pod", "name": "p"},
    }
    api.made(path, body)
    listed = api.get(f"{EVENTS}/events?fieldSelector=reportingController=test-controller")["items"]
    assert "e" in [e["metadata"]["name"] for e in listed if e["metadata"]["namespace"] == ns]
    series = {"count": 2, "lastObservedTime": "2014-01-02T12:00:05.000000Z"}
    assert api.patch(f"{path}/e", {"series": series}, STRATEGIC)["series"]["count"] == 2
    assert api.get(f"/api/v1/namespaces/{ns}/events/e")["message"] == "This is e"
    read = api.get(f"{path}/e").body
    read["series"] = {"count": 100, "lastObservedTime": "2014-01-02T12:00:07.000000Z"}
    assert api.put(f"{path}/e", read)["series"] == read["series"]
    assert api.patch(f"/api/v1/namespaces/{ns}/events/e", {"message": "new"}, MERGE)["message"] == "new"
    refused = api.post(path, {**body, "metadata": {"name": "f"}, "reportingController": ""})
    assert refused.status == 422 and "reportingController: Required value" in refused.message
    assert api.delete(f"{path}?labelSelector=story={ns}").status == 200
    assert api.get(f"{path}?labelSelector=story={ns}")["items"] == []


def test_limit_ranges_of_many_namespaces(api: Api, ns: str) -> None:
    """They are found everywhere by label, patched, fill in what pods leave out, and are deleted by label."""
    path = f"/api/v1/namespaces/{ns}/limitranges"
    limits = [{"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]
    api.made(path, {"metadata": {"name": "l", "labels": {"story": ns}}, "spec": {"limits": limits}})
    assert len(api.get(f"/api/v1/limitranges?labelSelector=story={ns}")["items"]) == 1
    made = api.made(
        f"/api/v1/namespaces/{ns}/pods",
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
    )
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    refused = api.post(
        f"/api/v1/namespaces/{ns}/pods",
        {
            "metadata": {"name": "q"},
            "spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "2"}}}]},
        },
    )
    assert refused.status == 403 and "maximum cpu usage per Container is 1, but limit is 2" in refused.message
    assert api.delete(f"{path}?labelSelector=story={ns}").status == 200
    assert api.get(path)["items"] == []
