"""APIService: what may answer for a group version."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.units.apiservice import API_SERVICE

GOOD = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 15,
        "service": {"namespace": "n", "name": "s"}}


@pytest.mark.parametrize(("change", "messages"), [
    ({}, []),
    ({"service": {"port": 70000}}, ["spec.service.namespace: Required value", "spec.service.name: Required value",
                                    "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and "
                                    "65535, inclusive"]),
    ({"caBundle": "AAAA", "insecureSkipTLSVerify": True},
     ["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"]),
    ({"service": None, "caBundle": "AAAA", "insecureSkipTLSVerify": True},
     ['spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
      "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"]),
    ({"groupPriorityMinimum": 0, "versionPriority": 1001},
     ["spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
      "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000"]),
])
def test_what_an_api_service_may_say(change: dict[str, Any], messages: list[str]) -> None:
    """A remote one has a service and a way to trust it, a local one neither."""
    service = {"metadata": {"name": "v1.a.b"}, "spec": GOOD | change}
    API_SERVICE.default(service)
    assert [str(error) for error in API_SERVICE.validate(service)] == messages
