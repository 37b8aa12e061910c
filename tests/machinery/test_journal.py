from __future__ import annotations

from kubelab.machinery.clock import SteppedClock
from kubelab.machinery.journal import Entry, Journal, caused_by


def test_the_ring_forgets_the_oldest() -> None:
    """Only the last entries are held; numbers go on."""
    journal = Journal(capacity=3, clock=SteppedClock())
    numbers = [journal.record("write", "create", f"pods/{i}") for i in range(5)]
    assert numbers == [1, 2, 3, 4, 5] and journal.last == 5
    assert [e.subject for e in journal.entries(3)] == ["pods/3", "pods/4"] and len(journal.entries()) == 3


def test_a_chain_tells_how_it_came_about() -> None:
    """From the last effect the causes lead back to the first request."""
    journal = Journal()
    request = journal.record("request", "create", "deployments/web", actor="kubectl")
    with caused_by(request):
        write = journal.record("write", "create", "deployments/web")
    watch = journal.record("watch", "ADDED", "deployments/web", cause=write)
    assert [e.seam for e in journal.chain(watch)] == ["request", "write", "watch"]


def test_listeners_hear_everything_until_they_stop_or_fail() -> None:
    """A failing listener is dropped, the others and the writer do not notice."""
    journal, heard = Journal(), []

    def fails(entry: Entry) -> None:
        raise RuntimeError("a broken view")

    journal.subscribe(fails)
    stop = journal.subscribe(lambda entry: heard.append(entry.verb))
    journal.record("bind", "a", "x")
    journal.record("bind", "b", "x")
    stop()
    journal.record("bind", "c", "x")
    assert heard == ["a", "b"]
