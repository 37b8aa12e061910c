"""A store on its own background loop, held as a notebook holds it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubelab.client.background import BackgroundLoop
from kubelab.control_plane.etcd.embedded import EmbeddedEtcd
from kubelab.facade.etcd import EtcdHandle
from kubelab.machinery.clock import RealClock


@pytest.fixture
def etcd() -> Iterator[EtcdHandle]:
    background = BackgroundLoop("test-etcd")
    handle = EtcdHandle(EmbeddedEtcd(None, RealClock()), background)
    handle.start()
    yield handle
    handle.stop()
    background.stop()
