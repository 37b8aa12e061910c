"""Informers: a local copy that is never wrong for long and tells each change once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kubelab.client.client import Client
from kubelab.client.informer import Informer, Informers
from kubelab.client.transport import InProcess, Unreachable
from kubelab.machinery.request import Obj, User
from tests.client.fake import FakeApi, configmap


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
async def informer(api: FakeApi) -> AsyncIterator[Informer]:
    client = Client(InProcess(api.handle, User("u")))
    made = Informer(client, "configmaps", indexers={"colour": lambda o: [o["data"]["colour"]]})
    yield made
    await made.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is anything, so there is no event to wait for
            await asyncio.sleep(0.005)


class Log:
    """What a handler heard: (type, name)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, type_: str, obj: Obj, old: Obj | None) -> None:
        assert (old is None) == (type_ == "ADDED")
        self.heard.append((type_, obj["metadata"]["name"]))


async def test_handlers_hear_what_is_and_what_becomes(api: FakeApi, informer: Informer) -> None:
    """Existing objects come as ADDED, then each change; a handler added late hears of all objects too."""
    api.put(configmap("a"))
    log = Log()
    informer.on_event(log)
    await informer.start()
    await informer.wait_synced()
    api.put(configmap("a", v="2"))
    api.put(configmap("b"))
    api.remove("default/a")
    await until(lambda: len(log.heard) == 4)
    assert log.heard == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    late = Log()
    informer.on_event(late)
    assert late.heard == [("ADDED", "b")]
    assert informer.get("default/b") is api.objects["default/b"]  # shared, not copied


async def test_indexes_follow_every_change(api: FakeApi, informer: Informer) -> None:
    """by_index shows the objects of a value as they move between values and go."""
    api.put(configmap("a", colour="red"))
    api.put(configmap("b", colour="red"))
    await informer.start()
    await informer.wait_synced()
    assert [o["metadata"]["name"] for o in informer.by_index("colour", "red")] == ["a", "b"]
    api.put(configmap("a", colour="blue"))
    await until(lambda: len(informer.by_index("colour", "blue")) == 1)
    assert [o["metadata"]["name"] for o in informer.by_index("colour", "red")] == ["b"]
    api.remove("default/a")
    await until(lambda: not informer.by_index("colour", "blue"))
    informer.add_index("name", lambda o: [o["metadata"]["name"]])
    assert len(informer.by_index("name", "b")) == 1


async def test_a_lost_stream_goes_on_where_it_was(api: FakeApi, informer: Informer) -> None:
    """When a watch ends, the next begins at the last revision: nothing is missed, nothing listed again."""
    log = Log()
    informer.on_event(log)
    await informer.start()
    await informer.wait_synced()
    await until(lambda: bool(api.watches))
    api.put(configmap("a"))
    await until(lambda: len(log.heard) == 1)
    api.break_off()
    await until(lambda: not api.watches)
    api.put(configmap("b"))
    await until(lambda: len(log.heard) == 2)
    assert informer.relists == 1


async def test_an_expired_revision_means_a_new_list_and_only_differences(api: FakeApi, informer: Informer) -> None:
    """After 410 handlers hear of what changed meanwhile, once; an object made anew is deleted first."""
    for name in "abc":
        api.put(configmap(name))
    log = Log()
    informer.on_event(log)
    await informer.start()
    await informer.wait_synced()
    await until(lambda: bool(api.watches))
    log.heard.clear()
    watches, api.watches = api.watches, set()  # what happens now, the watch does not hear of
    api.remove("default/a")
    api.put(configmap("b", v="2"))
    api.put(configmap("c"), uid="another")
    api.put(configmap("d"))
    api.watches = watches
    api.expire()
    await until(lambda: informer.relists == 2)
    assert log.heard == [("DELETED", "a"), ("MODIFIED", "b"), ("DELETED", "c"), ("ADDED", "c"), ("ADDED", "d")]


async def test_an_unreachable_server_is_tried_again(api: FakeApi, informer: Informer) -> None:
    """While nobody answers the informer waits and tries again, and says why in last_error."""
    api.failures = [Unreachable("gone"), Unreachable("gone")]
    api.put(configmap("a"))
    await informer.start()
    await asyncio.wait_for(informer.wait_synced(), 5)
    assert isinstance(informer.last_error, Unreachable)
    assert len(informer) == 1


async def test_a_failing_handler_does_not_stop_the_others(api: FakeApi, informer: Informer) -> None:
    """Each handler hears everything, whatever another one raises."""
    def broken(type_: str, obj: Obj, old: Obj | None) -> None:
        raise ZeroDivisionError

    log = Log()
    informer.on_event(broken)
    informer.on_event(log)
    api.put(configmap("a"))
    await informer.start()
    await informer.wait_synced()
    assert log.heard == [("ADDED", "a")]


async def test_informers_are_shared(api: FakeApi) -> None:
    """The same question gives the same informer, with one watch behind it; indexes are joined."""
    informers = Informers(Client(InProcess(api.handle, User("u"))))
    first = informers.of("configmaps")
    assert informers.of("cm", indexers={"n": lambda o: [o["metadata"]["name"]]}) is first
    assert informers.of("configmaps", namespace="x") is not first
    api.put(configmap("a"))
    await informers.start_all()
    assert len(first.by_index("n", "a")) == 1
    await informers.stop_all()
    assert not api.watches
