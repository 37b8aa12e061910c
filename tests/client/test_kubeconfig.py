"""Kubeconfigs as people have them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kubelab.client import kubeconfig
from kubelab.client.kubeconfig import KubeconfigError

CONFIG = """
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: "https://one:6443", certificate-authority: ca.pem}
- name: c2
  cluster: {server: "https://two", insecure-skip-tls-verify: true, tls-server-name: inner}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: shop}
- name: two
  context: {cluster: c2, user: u2}
- name: cloud
  context: {cluster: c2, user: u3}
- name: lost
  context: {cluster: nowhere, user: u1}
users:
- name: u1
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
- name: u2
  user: {tokenFile: token}
- name: u3
  user: {exec: {command: aws}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "token").write_text("secret\n")
    return tmp_path / "config"


def test_the_current_context(path: Path) -> None:
    """Without a name the current context is read; files are taken relative to the kubeconfig."""
    info = kubeconfig.load(path)
    assert (info.server, info.context, info.namespace) == ("https://one:6443", "one", "shop")
    assert (info.ca_pem, info.client_cert_pem, info.client_key_pem) == (b"CA", b"CERT", b"KEY")


def test_another_context(path: Path) -> None:
    """A context by name, with a token from a file and no check of the server."""
    info = kubeconfig.load(path, "two")
    assert (info.token, info.insecure, info.server_name, info.namespace) == ("secret", True, "inner", "default")


@pytest.mark.parametrize(("context", "words"), [
    ("cloud", "gets its token from a program"), ("lost", "no cluster named 'nowhere'; it has: c1, c2"),
    ("none", "no context named 'none'; it has: one, two, cloud, lost")])
def test_what_cannot_be_used_says_why(path: Path, context: str, words: str) -> None:
    """Every refusal names what is missing and what is there."""
    with pytest.raises(KubeconfigError, match=words):
        kubeconfig.load(path, context)


def test_no_file_and_no_yaml(tmp_path: Path) -> None:
    """A missing file says how to get one; a file of something else is called that."""
    with pytest.raises(KubeconfigError, match="kubelab up"):
        kubeconfig.load(tmp_path / "none")
    (tmp_path / "bad").write_text("{[")
    with pytest.raises(KubeconfigError, match="is not a kubeconfig"):
        kubeconfig.load(tmp_path / "bad")


def test_written_files_are_read_again(tmp_path: Path) -> None:
    """What `write` writes, `load` reads, and nobody else may."""
    path = kubeconfig.write(tmp_path / "sub" / "config", "https://127.0.0.1:1", b"CA", b"CERT", b"KEY", "lab")
    info = kubeconfig.load(path)
    assert (info.context, info.ca_pem, info.client_cert_pem, info.client_key_pem) == ("lab", b"CA", b"CERT", b"KEY")
    assert path.stat().st_mode & 0o777 == 0o600
    assert base64.b64encode(b"KEY").decode() in path.read_text()


def test_the_default_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$KUBECONFIG is where to look first."""
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/b")
    assert kubeconfig.default_path() == tmp_path / "a"


def test_acting_as_another(tmp_path: Path) -> None:
    """A user that acts as another says so with every request; nothing of it is dropped."""
    file = tmp_path / "config"
    file.write_text("""
current-context: lab
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: admin, user: {token: t, as: "system:kube-scheduler", as-groups: [a, b], as-user-extra: {scope: [x]}}}]
contexts: [{name: lab, context: {cluster: lab, user: admin}}]
""")
    assert kubeconfig.load(file).impersonation == (
        ("Impersonate-User", "system:kube-scheduler"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b"),
        ("Impersonate-Extra-scope", "x"))
