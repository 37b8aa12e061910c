"""kubeconfig: where a cluster is, how to trust it, and who we are.

    load(path, context) ─► ConnectInfo ─► client_for ─► Client over HTTPS
    write(path, ...)    ─► a file that kubectl uses, readable by its owner alone

Models:   client-go's clientcmd
Left out: exec and auth-provider plugins (the message says how to get a token), proxies
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.client.client import Client
from kubelab.client.pki import load_cert_chain
from kubelab.client.transport import Https


class KubeconfigError(ValueError):
    """The kubeconfig cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ConnectInfo:
    """One context of a kubeconfig. PEM contents, not paths; None where there is nothing."""

    server: str
    context: str = ""
    namespace: str = "default"
    ca_pem: bytes | None = None
    client_cert_pem: bytes | None = None
    client_key_pem: bytes | None = None
    token: str | None = None
    basic: tuple[str, str] | None = None
    insecure: bool = False
    server_name: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()  # the headers that say as whom to act

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS side of this context: whom to trust, and the client certificate."""
        context = ssl.create_default_context(cadata=self.ca_pem.decode() if self.ca_pem else None)
        if hasattr(ssl, "VERIFY_X509_STRICT"):
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as Go: many cluster CAs have no key identifiers
        if self.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.client_cert_pem and self.client_key_pem:
            load_cert_chain(context, self.client_cert_pem, self.client_key_pem)
        return context


def default_path() -> Path:
    """Return where kubectl looks: the first file of $KUBECONFIG, else ~/.kube/config."""
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def load(path: Path | None = None, context: str | None = None) -> ConnectInfo:
    """Read one context, the current one by default. Raises KubeconfigError."""
    import yaml

    path = path or default_path()
    try:
        config: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise KubeconfigError(f"no kubeconfig at {path} ({error.strerror}): start a cluster with `kubelab up` and use "
                              "the file it prints, or name one with --kubeconfig") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path} is not a kubeconfig: {error}") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig: it is no mapping")
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", name, path).get("context") or {}
    cluster = _named(config, "clusters", chosen.get("cluster", ""), path).get("cluster") or {}
    user = _named(config, "users", chosen["user"], path).get("user") or {} if chosen.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f"user {chosen['user']!r} of {path} gets its token from a program, which kubelab does "
                              "not run; make a context with a token, e.g. from `kubectl create token default`")
    folder = path.parent
    return ConnectInfo(
        server=cluster.get("server", ""), context=name, namespace=chosen.get("namespace") or "default",
        ca_pem=_pem(cluster, "certificate-authority", folder), client_cert_pem=_pem(user, "client-certificate", folder),
        client_key_pem=_pem(user, "client-key", folder), token=_token(user, folder),
        basic=(user["username"], user.get("password", "")) if user.get("username") else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")), server_name=cluster.get("tls-server-name"),
        impersonation=tuple(_impersonation(user)))


def _impersonation(user: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the headers of a user that acts as another: `as`, `as-uid`, `as-groups`, `as-user-extra`."""
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if user.get(key):
            yield header, str(user[key])
    for group in user.get("as-groups") or ():
        yield "Impersonate-Group", str(group)
    for key, values in (user.get("as-user-extra") or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{key}", str(value)


def write(path: Path, server: str, ca_pem: bytes, client_cert_pem: bytes, client_key_pem: bytes,
          context: str = "kubelab", *, user: str = "kubernetes-admin") -> Path:
    """Write a kubeconfig with one context, mode 0600, in one step; return its path."""
    import yaml

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": context, "preferences": {},
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": encoded(ca_pem)}}],
        "users": [{"name": f"{user}@{context}", "user": {"client-certificate-data": encoded(client_cert_pem),
                                                         "client-key-data": encoded(client_key_pem)}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": f"{user}@{context}"}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    with os.fdopen(fd, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    Path(temporary).replace(path)
    return path


def client_for(info: ConnectInfo, *, user_agent: str = "kubelab", field_manager: str | None = None) -> Client:
    """Return a client for a context; nothing is opened before its first request."""
    headers = list(info.impersonation)
    if info.basic and not info.token:
        headers.append(("Authorization", "Basic " + base64.b64encode(":".join(info.basic).encode()).decode()))
    transport = Https(info.server, lazy_ssl=info.ssl_context, server_name=info.server_name, token=info.token,
                      headers=headers, user_agent=user_agent)
    return Client(transport, user_agent=user_agent, field_manager=field_manager)


def connect(path: Path | None = None, context: str | None = None, *, user_agent: str = "kubelab",
            field_manager: str | None = None) -> Client:
    """Return a client for one context of a kubeconfig. Raises KubeconfigError."""
    return client_for(load(path, context), user_agent=user_agent, field_manager=field_manager)


def _named(config: dict[str, Any], what: str, name: str, path: Path) -> dict[str, Any]:
    entries: list[dict[str, Any]] = config.get(what) or []
    for entry in entries:
        if entry.get("name") == name:
            return entry
    there = ", ".join(str(entry.get("name")) for entry in entries) or "none"
    raise KubeconfigError(f"{path} has no {what[:-1]} named {name!r}; it has: {there}")


def _pem(entry: dict[str, Any], field: str, folder: Path) -> bytes | None:
    """Return what stands in `<field>-data`, or in the file that `<field>` names."""
    if entry.get(f"{field}-data"):
        return base64.b64decode(entry[f"{field}-data"])
    return _read(folder / entry[field]) if entry.get(field) else None


def _token(user: dict[str, Any], folder: Path) -> str | None:
    if user.get("tokenFile"):
        return _read(folder / user["tokenFile"]).decode().strip()
    return user.get("token")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"the kubeconfig names {path}, which cannot be read: {error.strerror}") from error
