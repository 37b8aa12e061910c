from __future__ import annotations

from typing import Any

import orjson
import pytest

from kubelab.machinery import schema
from kubelab.machinery.decoding import check, is_clean
from kubelab.machinery.twins import parse_json

POD: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z"},
    "spec": {"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
                             "resources": {"limits": {"cpu": "500m"}}}]}}


def pod() -> schema.Node:
    node = schema.compiled("v1", "Pod")
    assert node is not None
    return node


def with_spec(**changes: Any) -> dict[str, Any]:
    return {**POD, "spec": {**POD["spec"], **changes}}


def with_container(**changes: Any) -> dict[str, Any]:
    return with_spec(containers=[{**POD["spec"]["containers"][0], **changes}])


def test_a_clean_object_comes_back_itself() -> None:
    """Nothing is copied where nothing is to be corrected."""
    assert check(pod(), POD).obj is POD and is_clean(pod(), POD)


@pytest.mark.parametrize(("obj", "message"), [
    (with_container(ports=[{"containerPort": "80"}]), "json: cannot unmarshal string into Go struct field "
     "ContainerPort.spec.containers.ports.containerPort of type int32"),
    (with_container(ports=[{"containerPort": 1 << 40}]), "json: cannot unmarshal number 1099511627776 into Go struct "
     "field ContainerPort.spec.containers.ports.containerPort of type int32"),
    (with_spec(hostNetwork="yes"), "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of "
     "type bool"),
    (with_spec(containers={}), "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
     "[]v1.Container"),
    (with_spec(containers=["c"]), "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type "
     "v1.Container"),
    ({**POD, "spec": []}, "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    (with_container(imagePullPolicy=1), "json: cannot unmarshal number into Go struct field "
     "Container.spec.containers.imagePullPolicy of type v1.PullPolicy"),
    (with_container(resources={"limits": {"cpu": "lots"}}), "quantities must match the regular expression "
     "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (with_container(livenessProbe={"httpGet": {"port": True}}), "json: cannot unmarshal bool into Go struct field "
     "HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32"),
    (with_spec(volumes=[{"name": "v", "hostPath": {"path": "/", "type": 1}}]), "json: cannot unmarshal number into Go "
     "struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.type of type v1.HostPathType"),
    (with_container(resources={"limits": []}), "json: cannot unmarshal array into Go struct field "
     "ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList"),
    (with_container(securityContext={"capabilities": {"add": [1]}}), "json: cannot unmarshal number into Go struct "
     "field Capabilities.spec.containers.securityContext.capabilities.add of type v1.Capability"),
    ({**POD, "metadata": {"name": 1, "creationTimestamp": 2}}, "json: cannot unmarshal number into Go struct field "
     "ObjectMeta.metadata.creationTimestamp of type string"),
    ({**POD, "metadata": {"creationTimestamp": "2026-02-30T00:00:00Z"}},
     'parsing time "2026-02-30T00:00:00Z": day out of range')])
def test_wrong_types_are_refused_in_the_words_of_go(obj: dict[str, Any], message: str) -> None:
    """The first wrong type is the answer, whatever the mode; what a type of its own cannot read ends it at once."""
    assert check(pod(), obj, "Ignore").errors == (message,)


def test_unknown_and_twin_fields_follow_the_mode() -> None:
    """Strict refuses, Warn tells, Ignore is silent; all prune."""
    obj = with_container(imagee="x") | {"extra": 1}
    texts = ('duplicate field "spec.replicas"', 'unknown field "spec.containers[0].imagee"', 'unknown field "extra"')
    strict = check(pod(), obj, "Strict", ['duplicate field "spec.replicas"'])
    assert strict.errors == ("strict decoding error: " + ", ".join(texts),)
    assert check(pod(), obj, "Warn", ['duplicate field "spec.replicas"']).warnings == texts
    assert check(pod(), obj, "Ignore") == type(strict)(POD)
    assert "extra" in obj


def test_values_take_their_canonical_form() -> None:
    """Nulls and zero values of optional fields vanish, quantities and times are rewritten, pointers to zero stay."""
    obj = with_container(command=[], stdin=False, workingDir="", env=None,
                         resources={"limits": {"cpu": 0.5, "memory": "1024Mi"}}, securityContext={"privileged": False})
    obj["metadata"] = {"name": "a", "labels": {}, "creationTimestamp": "2026-01-02T04:04:05+01:00"}
    out = check(pod(), obj).obj
    assert out["metadata"] == POD["metadata"]
    assert out["spec"]["containers"][0] == {
        "name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "securityContext": {"privileged": False}}


def test_secret_data_must_be_base64() -> None:
    """The message names the byte."""
    node = schema.compiled("v1", "Secret")
    assert node is not None
    assert check(node, {"data": {"a": "notbase64!"}}).errors == ("illegal base64 data at input byte 9",)
    for good in ("aGk=", "aG\nk=", "aGkK\r\n", ""):
        assert check(node, {"data": {"a": good}}).errors == ()
    for bad, at in (("a", 0), ("aGk", 0), ("aGkKa", 4), ("aG=", 3), ("aG=k", 2), ("a=", 1), ("aGk=aGk=", 4),
                    ("\n\nab", 2)):
        assert check(node, {"data": {"a": bad}}).errors == (f"illegal base64 data at input byte {at}",)


def test_a_null_in_a_map_is_the_zero_of_what_the_map_holds() -> None:
    """Bytes and texts are empty then."""
    for kind, field in (("Secret", "data"), ("ConfigMap", "binaryData"), ("ConfigMap", "data")):
        node = schema.compiled("v1", kind)
        assert node is not None
        checked = check(node, {"apiVersion": "v1", "kind": kind, field: {"a": None, "b": "eA=="}})
        assert (checked.errors, checked.obj[field]) == ((), {"a": "", "b": "eA=="})


def test_twin_keys_are_found_where_they_stand() -> None:
    """The last value wins, and the paths of all twins are told."""
    value, twins = parse_json(b'{"a": 1, "m": {"n": 1, "n": 2}, "l": [{"x": 1, "x": 2, "x": 3}], "a": 2}')
    assert value == {"a": 2, "m": {"n": 2}, "l": [{"x": 3}]}
    assert twins == ["m.n", "l[0].x", "a"]


def test_nesting_has_a_limit() -> None:
    """A body that is nested too deep to be written again is no JSON to us."""
    with pytest.raises(ValueError):
        parse_json(b'{"a":' * 300 + b"1" + b"}" * 300)
    with pytest.raises(orjson.JSONDecodeError):
        parse_json(b"{oops")


def test_a_real_apiserver_words_its_refusals_the_same(recorded: Any) -> None:
    """Every recorded body that was refused while decoding is refused by us with the same text, and no other is."""
    compared = 0
    for case in recorded("invalid"):
        for step in case["steps"]:
            request, answer = step.get("request", {}), step.get("response", {})
            body, twins = request.get("body"), []
            if request.get("method") != "POST":
                continue
            if isinstance(body, str):
                try:
                    body, twins = parse_json(body)
                except ValueError:
                    continue
            node = schema.compiled(body.get("apiVersion", ""), body.get("kind", "")) if isinstance(body, dict) else None
            if node is None:
                continue
            message = (answer["body"] or {}).get("message", "")
            wanted = message.split(": ", 1)[1] if "cannot be handled as a" in message else ""
            mode = "Strict" if "Strict" in request["path"] else "Warn"
            strict = [f'duplicate field "{path}"' for path in twins]
            assert "".join(check(node, body, mode, strict).errors) == wanted, case["case"]
            compared += 1
    assert compared > 150
