"""What kubectl tells of every kind, of rollouts and while it waits; on hollow nodes, with the real kubectl."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kubelab import Cluster
from tests.kubectl.conftest import Kubectl, until

TEMPLATE = "template: {metadata: {labels: {app: %s}}, spec: {containers: [{name: c, image: nginx}]}}"
WORKLOADS = "".join(f"""---
apiVersion: {version}
kind: {kind}
metadata: {{name: {name}}}
spec: {{selector: {{matchLabels: {{app: {name}}}}}, {extra}{TEMPLATE % name}}}
""" for version, kind, name, extra in (
    ("apps/v1", "Deployment", "web", "replicas: 2, "), ("apps/v1", "DaemonSet", "ds", ""),
    ("apps/v1", "StatefulSet", "sts", "serviceName: sts, ")))
OBJECTS = WORKLOADS + """---
apiVersion: v1
kind: Pod
metadata: {name: gated}
spec: {schedulingGates: [{name: example.com/wait}], containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp/x}, storageClassName: slow}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 4Gi}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {a: bc}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ing}
spec:
  rules:
  - host: a.b
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hpa}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: slow, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: example.com/p
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rb}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
"""
REQUEST = """
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: jane}
spec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], expirationSeconds: 86400}
"""
# (what, what its description matches)
DESCRIBED = [
    ("node node-1", r"(?s)Lease:\n  HolderIdentity:  node-1\n.*Ready +True.*KubeletReady.*Allocated resources:"),
    ("deploy web", r"(?s)2 desired \| 2 updated \| 2 total \| 2 available.*Available +True +MinimumReplicasAvailable"
                   r".*ScalingReplicaSet .*deployment-controller +Scaled up replica set web-\w+ from 0 to 2"),
    ("rs", r"(?s)Controlled By: +Deployment/web.*Pods Status: +2 Running / 0 Waiting.*replicaset-controller +Created"),
    ("ds ds", r"(?s)Number of Nodes Scheduled with Available Pods: 2\n.*daemonset-controller +Created pod: ds-"),
    ("sts sts", "statefulset-controller +Create Pod sts-0 in StatefulSet sts successful"),
    ("pod sts-0", r"(?s)Controlled By: +StatefulSet/sts.*PodReadyToStartContainers +True.*kube-api-access-\w+:\n"
                  r".*default-scheduler +Successfully assigned default/sts-0 to node-"),
    ("pod gated", r"(?s)Node: +<none>.*PodScheduled +False.*Events: +<none>"),
    ("svc web", r"(?s)Type: +ClusterIP.*Endpoints: +\S+:80,\S+:80\n"), ("svc kubernetes", "Port: +https +443/TCP"),
    ("endpointslices -l kubernetes.io/service-name=web", "TargetRef: +Pod/web-"),
    ("ns default", r"(?s)Status: +Active\n.*Resource Limits\n.*PersistentVolumeClaim +storage +- +4Gi"),
    ("limits limits", r"PersistentVolumeClaim +storage +- +4Gi"),
    ("pv pv", r"(?s)Finalizers: +\[kubernetes.io/pv-protection\].*Type: +HostPath"),
    ("pvc claim", r"(?s)Status: +Pending\n.*Used By: +<none>"), ("secret s", "a:  2 bytes"),
    ("netpol np", r"To Port: 80/TCP"), ("ing ing", r"/ +web:80 \(\S+:80,\S+:80\)"),
    ("hpa hpa", r"resource cpu on pods +\(as a percentage of request\): +<unknown> / 80%"),
    ("sc slow", "IsDefaultClass: +Yes"), ("role r", r"pods +\[\] +\[\] +\[get\]"),
    ("rolebinding rb", "ServiceAccount +default +default"), ("cm kube-root-ca.crt", "BEGIN CERTIFICATE"),
    ("priorityclass system-node-critical", "Value: +2000001000"), ("apiservice v1.apps", "Reason: +Local"),
    ("flowschema catch-all", "Matching Precedence: +10000"), ("servicecidr kubernetes", "Ready +True"),
    ("controllerrevision", "Revision: +1"), ("lease -n kube-node-lease node-1", "Holder Identity: +node-1")]
# (words, standard output or, where it fails, what is said) in this order
ROLLOUTS = [
    ("annotate deploy web kubernetes.io/change-cause=first", "annotated", 0),
    ("set image deploy/web c=nginx:1.27", "updated", 0),
    ("rollout status deploy/web --timeout=30s", 'deployment "web" successfully rolled out', 0),
    ("rollout history deploy/web", r"1 +first\n2 +first", 0),
    ("rollout history deploy/web --revision=2", r"(?s)revision #2\nPod Template:.*nginx:1\.27", 0),
    ("rollout undo deploy/web", "deployment.apps/web rolled back", 0),
    ("rollout history deploy/web", r"2 +first\n3 +first", 0),
    ("rollout undo deploy/web --to-revision=9", "unable to find specified revision 9 in history", 1),
    ("rollout pause deploy/web", "paused", 0), ("rollout pause deploy/web", "is already paused", 1),
    ("rollout restart deploy/web", r"can't restart paused deployment \(run rollout resume first\)", 1),
    ("rollout resume deploy/web", "resumed", 0), ("rollout restart deploy/web ds/ds sts/sts", "(.* restarted\n){3}", 0),
    ("rollout status ds/ds --timeout=30s", 'daemon set "ds" successfully rolled out', 0),
    ("rollout status sts/sts --timeout=30s", "partitioned roll out complete|rolling update complete", 0),
    ("rollout history ds/ds", r"1 +<none>\n2 +<none>", 0), ("rollout undo ds/ds", "daemonset.apps/ds rolled back", 0),
    ("wait deploy/web --for=condition=Available --timeout=20s", "condition met", 0),
    ("wait deploy/web --for=jsonpath={.status.readyReplicas}=2 --timeout=20s", "condition met", 0),
    ("wait pod/gated --for=jsonpath={.status.phase} --timeout=20s", "condition met", 0),
    ("wait pod/none --for=delete --timeout=20s", "^$", 0),
    ("wait pod/none --for=condition=Ready --timeout=1s", r'pods "none" not found', 1),
    ("wait pod/gated --for=condition=Ready --timeout=1s", "timed out waiting for the condition on pods/gated", 1),
    ("top nodes", "^error: Metrics API not available\n$", 1), ("top pods", "^error: Metrics API not available\n$", 1),
    ("get pod gated", r"gated +0/1 +SchedulingGated +0 ", 0),
    ("get sc", r"slow \(default\) +example.com/p +Delete ", 0),
    ("get pvc claim --no-headers", r"claim +Pending +fast +<unset> +\d+", 0),
    ("events --for pod/sts-0 --types=Normal", r"Scheduled +Pod/sts-0 +Successfully assigned", 0),
    ("get pods --field-selector=spec.x=1", "field label not supported: spec.x", 1),
    ("explain pod.spec.restartPolicy", r"ENUM:\n    Always\n    Never\n    OnFailure\n", 0),
    ("explain deploy.spec.strategy --recursive", r"type\t<string>\n  enum: Recreate, RollingUpdate\n", 0),
    ("get flowschemas --no-headers", r"(?s)^exempt .*catch-all .*\n$", 0)]


@pytest.fixture(scope="module")
def hollow() -> Iterator[Kubectl]:
    with Cluster(nodes=2, runtime="hollow", quiet=True) as cluster:
        kubectl = Kubectl(Path(cluster.kubeconfig), "hollow")
        kubectl("apply", "-f", "-", stdin=OBJECTS)
        for name in ("deploy/web", "ds/ds", "sts/sts"):
            kubectl("rollout", "status", name, "--timeout=30s")
        until(lambda: ":80," in kubectl("describe", "svc", "web"), "the service has both endpoints")
        yield kubectl


def request_for(name: str) -> tuple[bytes, bytes]:
    """Return a new key and a request for its certificate, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dev"),
                         x509.NameAttribute(NameOID.COMMON_NAME, name)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), asked.public_bytes(Encoding.PEM))


def test_every_kind_is_described(hollow: Kubectl) -> None:
    """kubectl finds in each object, and beside it, what it looks for when it describes one."""
    for words, expected in DESCRIBED:
        said = hollow("describe", *words.split())
        assert re.search(expected, said), (words, said)


def test_rollouts_and_waits_go_as_they_do_elsewhere(hollow: Kubectl) -> None:
    """What is told of a rollout, of its history, and of what is waited for, is what real Kubernetes lets be told."""
    for words, expected, code in ROLLOUTS:
        said = hollow(*words.split(), ok=not code)
        assert re.search(expected, said), (words, said)


def test_a_wait_sees_what_is_made_meanwhile(hollow: Kubectl) -> None:
    """`--for=create` ends when the object appears."""
    waiting = hollow.start("wait", "cm/later", "--for=create", "--timeout=20s")
    hollow("create", "configmap", "later")
    assert waiting.communicate(timeout=25)[0] == "configmap/later condition met\n"


def test_a_new_user_comes_by_a_certificate(hollow: Kubectl, tmp_path: Path) -> None:
    """A request is approved and signed, and its certificate proves to the API server who somebody is."""
    key, asked = request_for("jane")
    hollow("apply", "-f", "-", stdin=REQUEST % base64.b64encode(asked).decode())
    assert re.search(r"jane +\d+s +kubernetes.io/kube-apiserver-client +kubernetes-admin +24h +Pending",
                     hollow("get", "csr"))
    assert hollow("certificate", "approve", "jane") == "certificatesigningrequest.certificates.k8s.io/jane approved\n"
    until(lambda: "Approved,Issued" in hollow("get", "csr", "jane"), "the request is signed")
    issued = hollow("get", "csr", "jane", "-o", "jsonpath={.status.certificate}")
    (tmp_path / "jane.crt").write_bytes(base64.b64decode(issued))
    (tmp_path / "jane.key").write_bytes(key)
    hollow("config", "set-credentials", "jane", f"--client-certificate={tmp_path}/jane.crt",
           f"--client-key={tmp_path}/jane.key")
    assert re.search(r"Username +jane\nGroups +\[dev system:authenticated\]", hollow("auth", "whoami", "--user=jane"))
    assert 'User "jane" cannot list resource "pods"' in hollow("get", "pods", "--user=jane", ok=False)
