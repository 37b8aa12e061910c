"""The replayer's own rules: what counts as the same answer."""

from __future__ import annotations

from .recording import first_difference, is_ours, normalise


def test_volatile_values_become_placeholders() -> None:
    """A uid, a time, an address and a random suffix of ours read like the recorded placeholders."""
    ours = {"uid": "0f0e0d0c-0000-4000-8000-0123456789ab", "creationTimestamp": "2026-01-02T03:04:05Z",
            "clusterIP": "127.64.128.7", "name": "web-6ff986f584-44p29", "managedFields": [1], "resourceVersion": "7"}
    assert normalise(ours) == {"uid": "<uid>", "creationTimestamp": "<time>", "clusterIP": "<ip>",
                               "name": "web-<hash>-<rand>", "resourceVersion": "<rv>"}


def test_a_kind_outside_the_catalogue_is_not_yet() -> None:
    """A case of a kind that kubelab does not serve is counted apart, not as wrong."""
    assert is_ours({"path": "/apis/apps/v1/namespaces/parity/deployments?dryRun=All"})
    assert is_ours({"path": "/api/v1/namespaces/parity"})
    assert not is_ours({"path": "/apis/batch/v2alpha1/namespaces/parity/cronjobs"})


def test_the_first_difference_is_named() -> None:
    """A difference is told with its path, so that its cause is found quickly."""
    assert first_difference({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == ".a[0].b: ours '1', real '2'"
    assert first_difference({"a": 1}, {"a": 1}) == ""
