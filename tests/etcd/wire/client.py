"""A bare gRPC client of any etcd: what the tests here send, and compare with a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from kubelab.control_plane.etcd.wire import stubs as pb


class Refusal(Exception):
    """A status that is not OK."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Client:
    """Calls by name: `await client("KV", "Put", key=b"a", value=b"1")`."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    async def __call__(self, service: str, method: str, request: Any = None, /, **fields: Any) -> Any:
        known = pb.SERVICES[service][method]
        call = self.channel.unary_unary(known.path, request_serializer=known.request.SerializeToString,
                                        response_deserializer=known.response.FromString)
        try:
            return await call(request if request is not None else known.request(**fields), timeout=10)
        except grpc.aio.AioRpcError as error:
            raise Refusal(error.code().name, error.details() or "") from error

    async def raw(self, path: str, data: bytes) -> bytes:
        try:
            return bytes(await self.channel.unary_unary(path)(data, timeout=10))
        except grpc.aio.AioRpcError as error:
            raise Refusal(error.code().name, error.details() or "") from error

    def stream(self, service: str = "Watch", method: str = "Watch") -> Any:
        known = pb.SERVICES[service][method]
        return self.channel.stream_stream(known.path, request_serializer=known.request.SerializeToString,
                                          response_deserializer=known.response.FromString)()


@asynccontextmanager
async def connected(address: str, credentials: Any = None) -> AsyncIterator[Client]:
    options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
    channel = grpc.aio.insecure_channel(address, options=options) if credentials is None else \
        grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        yield Client(channel)


def create(**fields: Any) -> Any:
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(**fields))


def cancel(watch_id: int) -> Any:
    return pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id))


def ask_progress() -> Any:
    return pb.WatchRequest(progress_request=pb.WatchProgressRequest())


async def answer(stream: Any) -> Any:
    return await asyncio.wait_for(stream.read(), 10)
