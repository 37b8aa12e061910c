from __future__ import annotations

from kubelab.node.kubelet.backoff import Backoff


def test_the_delay_doubles_from_ten_seconds_to_five_minutes() -> None:
    """Each further failure doubles the wait, and 300 s is the end of it."""
    backoff, seen = Backoff(), []
    now = 0.0
    for _ in range(7):
        backoff.next("web", now)
        seen.append(backoff.delay_s("web"))
        now += backoff.delay_s("web")
    assert seen == [10, 20, 40, 80, 160, 300, 300]


def test_the_first_failure_does_not_wait() -> None:
    """A container that fails for the first time is restarted at once; the second time it waits from its end on."""
    backoff = Backoff()
    assert backoff.remaining_s("web", since=100, now=100) == 0
    backoff.next("web", 100)
    assert backoff.remaining_s("web", since=105, now=107) == 8


def test_ten_good_minutes_are_forgiven() -> None:
    """A container that ran for more than ten minutes starts over with 10 s."""
    backoff = Backoff()
    backoff.next("web", 0)
    backoff.next("web", 10)
    assert backoff.remaining_s("web", since=700, now=700) == 0
    backoff.next("web", 700)
    assert backoff.delay_s("web") == 10


def test_forget_drops_a_pods_entries() -> None:
    """When a pod is gone, nothing of it is remembered."""
    backoff = Backoff()
    backoff.next("uid1/a", 0)
    backoff.next("uid2/a", 0)
    backoff.forget("uid1")
    assert backoff.delay_s("uid1/a") == 0
    assert backoff.delay_s("uid2/a") == 10
