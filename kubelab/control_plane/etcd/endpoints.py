"""Where an etcd is and how its members are reached: one gRPC channel a member, another one when it fails.

    call ─► the member in use ─► answer
                 └─ no answer ─► the next member ─► ... ─► an EtcdError

Invariant: an error says whether the call may have been carried out (`NotSent`: it was not).
Models:    etcd's clientv3, its balancer and retry interceptor
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubelab.control_plane.etcd.errors import EtcdError, NoLeader, TimedOut, TooManyRequests, Unavailable, error_of

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # what we fork becomes another program at once
try:
    import grpc
    import grpc.aio
except ImportError as missing:
    raise RuntimeError("a remote etcd needs further packages; type: pip install 'kubelab[etcd]'") from missing

CALL_S = 4.0  # then a member counts as one that does not answer
REQUIRE_LEADER = (("hasleader", "true"),)  # a member that was cut off says so, instead of letting us wait
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 2_000),
           ("grpc.max_reconnect_backoff_ms", 1000), ("grpc.keepalive_time_ms", 10_000),
           ("grpc.keepalive_timeout_ms", 3_000), ("grpc.use_local_subchannel_pool", 1))


class NotSent(Unavailable):
    """No member was reached, so nothing was carried out."""


@dataclass(frozen=True, slots=True)
class EtcdEndpoints:
    """The members of an etcd, and what its TLS needs. `prefix` is where in it the cluster keeps its keys."""

    urls: tuple[str, ...]
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    prefix: str = "/registry"

    @classmethod
    def of(cls, where: str | Iterable[str] | EtcdEndpoints) -> EtcdEndpoints:
        """Read one URL, several with commas between, or a list. Raises ValueError that shows how it is written."""
        if isinstance(where, EtcdEndpoints):
            return where
        found = tuple(url for url in (where.split(",") if isinstance(where, str) else where) if url)
        for url in found:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError(f"{url!r} is no address of an etcd; write http://HOST:PORT or https://HOST:PORT, "
                                 "for example http://127.0.0.1:2379")
        if not found:
            raise ValueError("no address of an etcd; write one, for example http://127.0.0.1:2379")
        return cls(found)

    def __post_init__(self) -> None:
        if not self.prefix.startswith("/") or self.prefix.endswith("/"):
            raise ValueError(f"{self.prefix!r} is no prefix of keys; it begins with a slash and ends without one")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("a client certificate needs both its file and that of its key")

    def channels(self) -> list[grpc.aio.Channel]:
        """Open a channel to each member; nothing is sent yet. Raises OSError when a file cannot be read."""
        return [self._channel(url) for url in self.urls]

    def _channel(self, url: str) -> grpc.aio.Channel:
        parts = urlsplit(url)
        target = f"{parts.hostname}:{parts.port or 2379}"
        if parts.scheme == "http":
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        ca, certificate, key = (file.read_bytes() if file else None
                                for file in (self.ca_file, self.cert_file, self.key_file))
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate), options=OPTIONS)


class Members:
    """The channels to all members, one of them in use."""

    def __init__(self, endpoints: EtcdEndpoints) -> None:
        self.endpoints = endpoints
        self.channels = endpoints.channels()
        self._at = random.randrange(len(self.channels))  # several API servers spread over the members

    @property
    def channel(self) -> grpc.aio.Channel:
        return self.channels[self._at]

    def next(self, failed: grpc.aio.Channel) -> None:
        """Use another member, unless someone has changed from the failed one already."""
        if self.channel is failed:
            self._at = (self._at + 1) % len(self.channels)

    async def call(self, method: Any, request: Any, timeout_s: float = CALL_S) -> Any:
        """Send one call to the member in use. Raises EtcdError; when it is worth asking another one, that is next."""
        channel = self.channel
        stub = channel.unary_unary(method.path, request_serializer=method.request.SerializeToString,
                                   response_deserializer=method.response.FromString)
        try:
            return await stub(request, timeout=timeout_s, metadata=REQUIRE_LEADER)
        except grpc.aio.AioRpcError as error:
            found = etcd_error(error)
            if isinstance(found, Unavailable):
                self.next(channel)
            raise found from None

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


def etcd_error(error: grpc.aio.AioRpcError) -> EtcdError:
    """Return what etcd said, or what its silence means."""
    code, text = error.code().name, error.details() or ""
    if code == "DEADLINE_EXCEEDED":
        return TimedOut()
    if code == "UNAVAILABLE" and text.startswith(("failed to connect to all addresses", "DNS resolution failed")):
        return NotSent(f"no etcd answers: {text}")
    if code == "CANCELLED":
        return Unavailable("etcdserver: connection closed")
    return error_of(code, text)


def was_not_done(error: EtcdError) -> bool:
    """Say whether a call with this error surely changed nothing, so that it may be sent again."""
    return isinstance(error, (NotSent, NoLeader, TooManyRequests))
