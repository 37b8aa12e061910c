"""Go structs as error messages show them."""

from __future__ import annotations

from kubelab.units import go_shapes


def test_a_struct_shows_all_its_fields() -> None:
    """Those that nobody set as well: as their zero, or as null."""
    assert go_shapes.printed(go_shapes.FAILURE_POLICY, {"rules": [{"action": "Ignore"}]}) == {
        "Rules": [{"Action": "Ignore", "OnExitCodes": None, "OnPodConditions": None}]}
    assert go_shapes.printed(go_shapes.SUCCESS_POLICY, {}) == {"Rules": None}


def test_a_template_has_its_metadata_embedded() -> None:
    """Under the names of the wire; what belongs to the host stands in the security context."""
    shown = go_shapes.pod_template({"metadata": {"labels": {"a": "b"}}, "spec": {
        "hostPID": True, "securityContext": {}, "nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 1}}}]}})
    spec = shown["Spec"]
    assert (list(shown), spec["NodeSelector"]) == (["labels", "Spec"], {"a": "b"})
    assert spec["SecurityContext"]["HostPID"] is True
    container = spec["Containers"][0]
    assert container["Resources"] == {"Limits": None, "Requests": None, "Claims": None}
    assert container["LivenessProbe"]["HTTPGet"] == {"Path": "", "Port": 1, "Host": "", "Scheme": "",
                                                     "HTTPHeaders": None}
