"""The messages of etcd's protocol, as classes that belong to this process's kubelab alone.

    package etcd3aio ─► descriptors (bytes in its source, read, never imported) ─► own DescriptorPool ─► classes

    from kubelab.control_plane.etcd.wire import stubs as pb
    pb.PutRequest(key=b"a", value=b"1")      pb.KeyValue      pb.RangeRequest.DESCRIPTOR      SERVICES["KV"]["Put"]

Invariant: nothing of it is registered in protobuf's default pool, where two sets of etcd stubs cannot stand side by
           side: a learner may use any etcd client in the same kernel.
Models:    etcdserverpb's rpc.proto and what it needs
Left out:  the HTTP annotations of the gateway, and the services of locks and elections, which etcdctl does not call
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as error:
    raise RuntimeError("etcd's protocol needs further packages; type: pip install 'kubelab[etcd]'") from error

_FILES = ("mvccpb/kv", "authpb/auth", "etcdserverpb/rpc")
_PACKAGES = ("etcdserverpb", "mvccpb", "authpb")


class Method(NamedTuple):
    """One call of a service: its path on the wire and the classes of what goes in and comes out."""

    path: str
    request: Any
    response: Any
    client_streaming: bool
    server_streaming: bool


def _folder() -> Path:
    spec = find_spec("etcd3aio")  # finds it without running it
    if spec is None or spec.origin is None:
        raise RuntimeError("etcd's protocol comes with the package etcd3aio; type: pip install 'kubelab[etcd]'")
    return Path(spec.origin).parent / "proto" / "etcd" / "api"


def _file(source: str) -> descriptor_pb2.FileDescriptorProto:
    """Return the descriptor that a generated module carries, without the options for gateways and generators."""
    data = next(ast.literal_eval(node.args[0]) for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile")
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    kept = [name for name in file.dependency if name in {f"etcd/api/{file}.proto" for file in _FILES}]
    del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
    file.dependency.extend(kept)
    file.ClearField("options")
    for service in file.service:
        for method in service.method:
            method.ClearField("options")
    return file


def _pool() -> descriptor_pool.DescriptorPool:
    pool, folder = descriptor_pool.DescriptorPool(), _folder()
    for name in _FILES:
        pool.Add(_file((folder / f"{name}_pb2.py").read_text()))
    return pool


_POOL = _pool()


def message(name: str) -> Any:
    """Return the class of a message: "mvccpb.KeyValue", or "Compare" alone. Raises KeyError."""
    for full in (name, *(f"{package}.{name}" for package in _PACKAGES)):
        try:
            return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full))
        except KeyError:
            continue
    raise KeyError(name)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        found = globals()[name] = message(name)
    except KeyError as error:
        raise AttributeError(f"etcd's protocol has no message {name}") from error
    return found


def _services() -> dict[str, dict[str, Method]]:
    found: dict[str, dict[str, Method]] = {}
    for service in _POOL.FindFileByName("etcd/api/etcdserverpb/rpc.proto").services_by_name.values():
        found[service.name] = {
            method.name: Method(f"/{service.full_name}/{method.name}",
                                message_factory.GetMessageClass(method.input_type),
                                message_factory.GetMessageClass(method.output_type),
                                method.client_streaming, method.server_streaming)
            for method in service.methods}
    return found


SERVICES = _services()
