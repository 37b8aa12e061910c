"""The Pod Security Standards, in the words people search for."""

from __future__ import annotations

import pytest

from kubelab.machinery.request import Obj
from kubelab.units.pods.security import violations

GOOD: Obj = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
             "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(("spec", "container", "found"), [
    ({}, {"securityContext": {"privileged": True}},
     'privileged (container "c" must not set securityContext.privileged=true)'),
    ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, 'hostPort (container "c" uses hostPort 80)'),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, 'hostPath volumes (volume "v")'),
    ({}, {"securityContext": {"capabilities": {"add": ["NET_RAW", "CHOWN"]}}},
     'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)'),
    ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, {},
     'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")'),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, {},
     "forbidden sysctls (kernel.msgmax)"),
    ({}, {"securityContext": {"procMount": "Unmasked"}},
     'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
    ({}, {"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}},
     'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)'),
])
def test_baseline_says_what_it_forbids(spec: Obj, container: Obj, found: str) -> None:
    """One thing each."""
    assert violations("baseline", {**spec, "containers": [{"name": "c", **container}]}) == [found]


def test_restricted_forbids_more() -> None:
    """Kinds of volumes, and running as root by number."""
    spec = {"volumes": [{"name": "v", "hostPath": {}}],
            "containers": [{"name": "c", "securityContext": {**GOOD, "runAsUser": 0}}]}
    assert violations("restricted", spec) == [
        'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        'runAsUser=0 (container "c" must not set runAsUser=0)']


def test_places_and_values_are_joined() -> None:
    """The pod and several containers stand in one sentence, and what they do stands once."""
    loose = {"seccompProfile": {"type": "Unconfined"}, "procMount": "Unmasked"}
    spec = {"securityContext": {"seccompProfile": {"type": "Unconfined"}},
            "containers": [{"name": name, "securityContext": loose, "ports": [{"hostPort": port}]}
                           for name, port in (("a", 80), ("b", 443))]}
    assert violations("baseline", spec) == [
        'hostPort (containers "a", "b" use hostPorts 443, 80)',
        'procMount (containers "a", "b" must not set securityContext.procMount to "Unmasked")',
        'seccompProfile (pod and containers "a", "b" must not set securityContext.seccompProfile.type to "Unconfined")']


def test_what_is_said_wrongly_is_told_before_what_is_not_said() -> None:
    """The pod and its containers in one sentence, with all that they said."""
    spec = {"securityContext": {"runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}}, "containers": [
        {"name": "a", "securityContext": {**GOOD, "runAsNonRoot": False}}, {"name": "b", "securityContext": GOOD}]}
    assert violations("restricted", spec) == [
        'runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false)',
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")']


def test_windows_is_not_asked_for_what_it_has_not() -> None:
    """No capabilities, no seccomp profile, no escalation."""
    spec = {"os": {"name": "windows"}, "containers": [{"name": "c", "securityContext": {"runAsNonRoot": True}}]}
    assert violations("restricted", spec) == []


def test_a_probe_asks_its_own_container() -> None:
    """A host in it is forbidden, whichever it is."""
    probe = {"tcpSocket": {"port": 1, "host": "127.0.0.1"}}
    assert violations("baseline", {"containers": [{"name": "c", "livenessProbe": probe}]}) == [
        'probe or lifecycle host (container "c" uses probe or lifecycle host "127.0.0.1")']
