"""The event loop of the shipped servers: one thread, one selector, no import that costs memory.

    accept ─► Peer ─► on_data(peer) reads peer.inbound ─► peer.send(bytes) ─► peer.close()

Invariant: a peer whose output is not taken is not read from; stopping sends what was promised, then ends.
Left out:  TLS, IPv6
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable

from kubelab.node.runtime.images import pod

MAX_PENDING_BYTES = 1 << 20
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Peer:
    """One accepted connection; `state` belongs to the server program."""

    def __init__(self, server: Server, sock: socket.socket, remote: tuple[str, int],
                 on_data: Callable[[Peer], None]) -> None:
        self.server, self.sock, self.remote, self.on_data = server, sock, remote, on_data
        self.inbound, self._outbound = bytearray(), bytearray()
        self._closing = self.closed = False
        self.state: object = None

    def send(self, data: bytes) -> None:
        if not self._outbound and not self.closed:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                pass
            except OSError:
                self._drop()
                return
        if data and not self.closed:
            self._outbound += data
            self.server.watch(self)

    def close(self) -> None:
        """Close the connection after everything sent has left."""
        self._closing = True
        if not self._outbound:
            self._drop()

    @property
    def events(self) -> int:
        reading = not self._closing and len(self._outbound) < MAX_PENDING_BYTES
        return (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if self._outbound else 0)

    def ready(self, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE and self._outbound:
                del self._outbound[:self.sock.send(self._outbound)]
                if self._closing and not self._outbound:
                    self._drop()
                    return
            if mask & selectors.EVENT_READ and not self._closing:
                data = self.sock.recv(65536)
                if not data:
                    self.close()
                    return
                self.inbound += data
                self.on_data(self)
        except BlockingIOError:
            return
        except OSError:
            self._drop()
            return
        if not self.closed:
            self.server.watch(self)

    def _drop(self) -> None:
        if not self.closed:
            self.closed = True
            self.server.forget(self)
            self.sock.close()


class Server:
    """Listeners and peers of one program."""

    def __init__(self, stop_signals: tuple[signal.Signals, ...] = STOP_SIGNALS) -> None:
        self._stop_signals = set(stop_signals)
        self._selector = selectors.DefaultSelector()
        self._peers: dict[Peer, int] = {}  # with the events each is registered for
        self._listeners: list[socket.socket] = []
        self._stopping = False

    def listen(self, port: int, on_data: Callable[[Peer], None], host: str = "") -> None:
        """Serve TCP connections to the pod's `port`. Raises: OSError."""
        listener = pod.bind(port, host)
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ, lambda _: self._accept(listener, on_data))

    def listen_udp(self, port: int, answer: Callable[[bytes, tuple[str, int]], bytes], host: str = "") -> None:
        """Answer each datagram to the pod's `port` with one. Raises: OSError."""
        opened = pod.bind(port, host, socket.SOCK_DGRAM)
        self._listeners.append(opened)

        def receive(_: int) -> None:
            data, remote = opened.recvfrom(65536)
            opened.sendto(answer(data, remote), remote)

        self._selector.register(opened, selectors.EVENT_READ, receive)

    def run(self) -> int:
        """Serve until a stop signal comes; return the exit code."""
        wake_in, wake_out = socket.socketpair()
        wake_out.setblocking(False)
        signal.set_wakeup_fd(wake_out.fileno(), warn_on_full_buffer=False)
        for number in self._stop_signals:
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._selector.register(wake_in, selectors.EVENT_READ, lambda _: self._on_signal(wake_in))
        while not (self._stopping and not self._peers):
            for key, mask in self._selector.select():
                key.data(mask)
        return 0

    def _on_signal(self, wake: socket.socket) -> None:
        if not set(wake.recv(64)) & self._stop_signals:
            return  # a terminal that changed its size
        self._stopping = True
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        for peer in list(self._peers):
            peer.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket, on_data: Callable[[Peer], None]) -> None:
        for _ in range(64):  # a burst at a time, then the others' turn
            try:
                sock, remote = listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock, remote, on_data)
            self._peers[peer] = 0
            self.watch(peer)

    def watch(self, peer: Peer) -> None:
        """Follow what the peer now waits for."""
        before, after = self._peers.get(peer), peer.events
        if before is None or before == after:
            return
        if before and after:
            self._selector.modify(peer.sock, after, peer.ready)
        elif after:
            self._selector.register(peer.sock, after, peer.ready)
        else:
            self._selector.unregister(peer.sock)
        self._peers[peer] = after

    def forget(self, peer: Peer) -> None:
        if self._peers.pop(peer, 0):
            self._selector.unregister(peer.sock)
