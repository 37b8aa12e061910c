"""Time travel in a real browser, on a running cluster: the slider, the past, the diff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kubelab import Cluster, Deployment, Service
from tests.views.page import CHROMIUM, FRAMES, Wired, wired_page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]

PODS = "document.querySelectorAll('.pod:not(.leave)').length"
TOLD = ".kl-time .told"
SLIDER = ".kl-time input"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=3, runtime="hollow", quiet=True) as running:
        running.apply(Deployment("web", image="nginx", replicas=2), Service("web", port=80))
        running.wait("deployment/web")
        running.scale("deployment/web", 5)
        running.wait("deployment/web")
        running.delete("deployment/web")
        running.wait("deployment/web", "Deleted")
        yield running


@pytest.fixture
def view(cluster: Cluster) -> Iterator[Wired]:
    with wired_page(cluster) as wired:
        wired.until("document.querySelectorAll('.kl-time .mark').length > 4")
        wired.until(f"{PODS} === 0")
        yield wired


def revision_of(view: Wired, text: str) -> int:
    return next(int(i["rev"]) for i in view.bridge.projection.items.values() if i["t"] == "mark" and i["text"] == text)


def told(view: Wired) -> str:
    return str(view.page.locator(TOLD).inner_text())


def test_dragging_left_shows_the_past_exactly(view: Wired, cluster: Cluster) -> None:
    """Every revision shows what etcd has of it, also from before the view began; one click is live again."""
    first = revision_of(view, "apply web")
    for revision in (first, first + 40, cluster.etcd.history("/registry/deployments/default/web").revisions[-1]):
        view.seek(revision)
        there = len(cluster.etcd.get("/registry/pods/", prefix=True, revision=revision))
        view.until(f"{PODS} === {there}")
        assert f"revision {revision}" in told(view) and "ago" in told(view)
    assert "as it was" in view.page.locator(".past").first.inner_text()
    view.page.click(".kl-time .live")
    view.until(f"{PODS} === 0")
    assert "live" in told(view) and not view.page.locator(".kl.past").count()


def test_arrow_keys_step_a_revision_and_with_shift_a_change(view: Wired) -> None:
    """The slider is a slider: arrows, Home and End; it tells a screen reader where it stands and what happened."""
    view.seek(revision_of(view, "scale web 2→5"))
    assert "scale web 2→5" in told(view)
    here = view.page.locator(SLIDER).input_value()
    view.page.focus(SLIDER)
    for key, value in (("ArrowLeft", int(here) - 1), ("ArrowRight", int(here))):
        view.page.keyboard.press(key)
        view.settled()
        assert view.page.locator(SLIDER).input_value() == str(value)
        assert f"revision {value}" in view.page.locator('[data-key="part:etcd"]').text_content()
    view.page.keyboard.press("Shift+ArrowRight")
    view.until(f"document.querySelector('{SLIDER}').value !== '{here}'")
    view.settled()
    assert "Deployment web" in view.page.locator(SLIDER).get_attribute("aria-valuetext")
    view.page.click('.kl-time button[aria-label="To the change before"]')
    view.until(f"document.querySelector('{SLIDER}').value === '{here}'")
    view.page.focus(SLIDER)
    view.page.keyboard.press("End")
    view.until("!document.querySelector('.kl.past')")
    view.page.keyboard.press("Home")
    view.settled()
    assert told(view).startswith("revision 1 ") and view.page.locator(".pod:not(.leave)").count() == 0


def test_a_picked_pod_is_as_it_was_and_compared_with_now(view: Wired) -> None:
    """Its YAML is of then; the diff has a sign on every line; where it was not, that is said."""
    at = revision_of(view, "scale web 2→5")
    view.seek(at)
    view.until(f"{PODS} === 2")
    view.page.locator(".pod").first.click()
    view.settled()
    page = view.page.locator(".kl-side .page")
    tabs = view.page.locator('.kl-side [role="tab"]').all_inner_texts()
    assert tabs == ["about", "diff", "events", "yaml"], "logs are not kept in etcd"
    view.page.click('.kl-side [role="tab"]:has-text("yaml")')
    view.settled()
    assert f"resourceVersion: '{at}'" not in page.inner_text() and "phase: Running" in page.inner_text()
    view.page.click('.kl-side [role="tab"]:has-text("diff")')
    view.settled()
    assert "It is gone now." in page.inner_text()
    signs = view.page.locator(".kl-side .diff .cut .sign").all_inner_texts()
    assert len(signs) > 20 and set(signs) == {"−"}
    view.seek(revision_of(view, "apply web"))
    assert "It was not there at this revision." in page.inner_text()


def test_a_mark_leads_to_its_moment_and_shows_what_changed(view: Wired) -> None:
    """Also for what is not drawn, a Deployment: one line out, one line in; other revisions can be chosen."""
    at = revision_of(view, "scale web 2→5")
    view.page.click('.kl-time .mark button:has-text("scale web")')
    view.settled()
    assert told(view).startswith(f"revision {at} ")
    diff = view.page.locator(".kl-side .diff")
    shown = diff.inner_text().replace("\n", "")
    assert "−  replicas: 2" in shown and "+  replicas: 5" in shown
    assert view.page.locator(".kl-side header").inner_text().startswith("Deployment web")
    view.page.select_option('.kl-side select[aria-label="from revision"]', str(revision_of(view, "apply web")))
    view.settled()
    assert "+status:" in diff.inner_text().replace("\n", "")
    view.page.keyboard.press("Escape")
    view.page.click(".kl-time .what")
    view.settled()
    assert view.page.locator(".kl-side .diff .add").count() == 2


def test_what_happens_now_stays_out_of_the_past(view: Wired, cluster: Cluster) -> None:
    """The picture stands still while the cluster goes on, and is live again at once."""
    view.seek(revision_of(view, "scale web 2→5"))
    view.until(f"{PODS} === 2")
    cluster.apply(Deployment("later", image="nginx", replicas=1))
    cluster.wait("deployment/later")
    view.until("document.querySelector('.kl-time .mark:last-child') !== null")
    assert view.page.evaluate(PODS) == 2
    view.page.click(".kl-time .live")
    view.until(f"{PODS} === 1")
    cluster.delete("deployment/later")
    view.until(f"{PODS} === 0")


def test_a_compacted_revision_says_so_and_where_to_go(view: Wired, cluster: Cluster) -> None:
    """What etcd has forgotten is not shown; one button leads to the oldest revision that is left."""
    at = revision_of(view, "apply web")
    view.seek(at)
    oldest = revision_of(view, "scale web 2→5")
    cluster.etcd.compact(oldest)
    view.until("!document.querySelector('.kl-gone').hidden")
    words = view.page.locator(".kl-gone").inner_text()
    assert f"Revision {at} has been compacted" in words and f"The oldest that can still be read is {oldest}" in words
    view.page.click('.kl-gone button:has-text("go to revision")')
    view.settled()
    assert told(view).startswith(f"revision {oldest} ") and view.page.locator(".kl-gone").is_hidden()
    assert view.page.locator(".kl-time .first").inner_text() == f"compacted before {oldest}"


def test_travelling_among_100_pods_is_smooth() -> None:
    """While the handle is dragged through a rollout of 100 pods, the median frame takes less than 50 ms."""
    with Cluster(nodes=3, runtime="hollow", quiet=True) as big:
        big.apply(Deployment("web", image="nginx", replicas=100))
        big.wait("deployment/web", timeout_s=60)
        with wired_page(big) as view:
            view.until(f"{PODS} === 100")
            view.until("Number(document.querySelector('.kl-time input').max) > 100")
            newest = int(view.page.locator(SLIDER).get_attribute("max"))
            view.page.evaluate(FRAMES)
            for revision in range(newest - 10, newest // 3, -max(1, newest // 60)):
                view.page.locator(SLIDER).evaluate(
                    "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }", revision)
                view.pump()
            view.settled()
            frames: list[Any] = sorted(view.page.evaluate("window.frames_"))
            assert frames[len(frames) // 2] < 50, frames
            there = len(big.etcd.get("/registry/pods/", prefix=True, revision=revision))
            view.until(f"{PODS} === {there}")
