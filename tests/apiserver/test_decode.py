"""Bodies are read, and what is wrong with them is said in Go's words."""

from __future__ import annotations

import pytest

from kubelab.control_plane.apiserver.decode import read_object
from kubelab.machinery.errors import ApiError
from kubelab.machinery.request import Request
from kubelab.units import find


def test_an_object_of_another_kind_is_refused() -> None:
    """What is posted to a collection must be of its kind."""
    with pytest.raises(ApiError, match="cannot be handled as a ConfigMap"):
        read_object(Request("POST", "/", body={"kind": "Pod"}), find("configmaps"))


def test_yaml_is_read_as_kubectl_reads_it() -> None:
    """A YAML body has YAML 1.1's booleans and no dates."""
    body = b"kind: ConfigMap\nmetadata: {name: a}\ndata: {on: 2020-01-01}\n"
    obj, _ = read_object(Request("POST", "/", headers={"content-type": "application/yaml"}, body=body), find("cm"))
    assert obj["data"] == {"true": "2020-01-01"}
