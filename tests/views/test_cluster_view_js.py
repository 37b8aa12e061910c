"""The live view in a real browser, on a plain page, fed by the real view model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.views.page import CHROMIUM, ViewPage, view_page
from tests.views.world import World

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]


@pytest.fixture
def view() -> Iterator[ViewPage]:
    with view_page() as page:
        yield page


def shop(view: ViewPage, world: World) -> list[dict[str, Any]]:
    """Fill the view: three nodes, four web pods, one that crashes, one that waits, two Services."""
    for i in (1, 2, 3):
        view.projection.node("ADDED", world.node(f"node-{i}"))
    pods = [world.pod(f"web-{i}", f"node-{i % 3 + 1}", owner="web-aa", hash_="aa") for i in range(4)]
    pods += [world.pod("cart-1", "node-2", "failed", restarts=4), world.pod("late", "", "pending")]
    for pod in pods:
        view.projection.pod("ADDED", pod)
    for name, behind in (("web", pods[:4]), ("cart", pods[4:5])):
        view.projection.service("ADDED", world.service(name))
        view.projection.slice("ADDED", world.slice(name, behind))
    view.flush()
    view.page.wait_for_selector('[data-key="svc:uid-web"]')
    return pods


def test_everything_is_drawn_with_colour_and_sign(view: ViewPage, world: World) -> None:
    """Parts, nodes, pods and Services stand there; a failing pod has its ✕ and its restart count."""
    shop(view, world)
    page = view.page
    assert page.locator(".pod").count() == 6
    assert page.locator('[data-key^="node:"]').count() == 3
    assert page.locator('[data-key="pod:uid-cart-1"] text').all_text_contents() == ["✕", "4", "cart-1"]
    assert "1 pod failing" in page.locator(".loud").inner_text()
    assert "1 pod waiting for a node" in page.locator("svg").text_content()


def test_pointing_explains_in_plain_words(view: ViewPage, world: World) -> None:
    """One sentence for what is under the pointer, and lines from a Service to the pods behind it."""
    shop(view, world)
    view.page.hover('[data-key="svc:uid-web"]')
    view.page.wait_for_function("document.querySelectorAll('.traffic').length === 4")
    words = view.page.locator(".kl-words").inner_text()
    assert words == "Service web (127.64.128.14:80) sends traffic to 4 ready pods labelled app=web."
    view.page.hover('[data-key="pod:uid-late"]')
    view.page.wait_for_function("document.querySelector('.kl-words').innerText.includes('waits for a node')")


def test_click_opens_the_object(view: ViewPage, world: World) -> None:
    """A click asks for the object; its YAML is text, whatever it contains; Escape closes."""
    shop(view, world)
    page = view.page
    page.evaluate("""window.answers = {object: {yaml: 'a: <img src=x onerror=alert(1)>', facts: [['IP', '10.0.0.1']],
        conditions: [{type: 'Ready', status: 'False', reason: 'ContainersNotReady', message: 'app'}]},
        events: [{type: 'Warning', reason: 'BackOff', message: 'Back-off', count: 12, age: '3m'}], logs: 'hello'}""")
    page.click('[data-key="pod:uid-cart-1"]')
    page.wait_for_selector(".kl-side table")
    assert "ContainersNotReady" in page.locator(".kl-side").inner_text()
    for tab, text in (("yaml", "<img src=x"), ("events", "12× · 3m"), ("logs", "hello")):
        page.click(f'.kl-side [role="tab"]:has-text("{tab}")')
        page.wait_for_function(f"document.querySelector('.kl-side .page').innerText.includes({text!r})")
    assert page.locator(".kl-side img").count() == 0
    page.keyboard.press("Escape")
    assert not page.locator(".kl-side").is_visible()


def test_component_cards_stop_and_start(view: ViewPage, world: World) -> None:
    """A card offers what the kernel says it can do, and asks for it."""
    shop(view, world)
    page = view.page
    page.evaluate("window.answers = {part: {can: ['stop', 'restart'], facts: [['restarts', '0']], loops: []}}")
    page.click('[data-key="part:scheduler"]')
    page.click('.kl-side button:has-text("stop")')
    page.wait_for_function("model.sent.some((m) => m.what === 'do' && m.act === 'stop' && m.key === 'part:scheduler')")
    view.projection.put("part:scheduler", {"t": "part", "name": "scheduler", "state": "stopped", "detail": ""})
    view.flush()
    page.wait_for_selector('[data-spoke="scheduler"].broken')
    assert "new pods wait without a node" in page.locator('[data-key="part:scheduler"]').get_attribute("aria-label")


def test_keyboard_alone_reaches_everything(view: ViewPage, world: World) -> None:
    """One Tab stop for the picture, arrows inside it, Enter opens, every element has a label."""
    shop(view, world)
    page = view.page
    assert page.locator('svg [tabindex="0"]').count() == 1
    page.focus('svg [tabindex="0"]')
    seen = set()
    for key in ("Up", "Down", "Right", "Right", "Right", "Down", "Left", "Right"):
        page.keyboard.press(f"Arrow{key}")
        seen.add(page.evaluate("document.activeElement.dataset.key"))
    assert len(seen) >= 4
    assert page.locator('svg [tabindex="0"]').count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector(".kl-side", state="visible")
    labels = page.eval_on_selector_all("[data-key]", "(all) => all.map((e) => e.getAttribute('aria-label'))")
    assert all(len(label) > 5 for label in labels)


def test_tiles_keep_their_places(view: ViewPage, world: World) -> None:
    """A pod that goes moves no other; a new one enters at the end."""
    pods = shop(view, world)
    where = "(k) => document.querySelector(`[data-key=\"pod:uid-${k}\"]`).style.transform"
    before = view.page.evaluate(where, "web-3")
    view.projection.pod("DELETED", pods[0])
    view.projection.pod("ADDED", world.pod("web-9", "node-1", owner="web-aa", hash_="aa"))
    view.flush()
    view.page.wait_for_selector('[data-key="pod:uid-web-9"]')
    assert view.page.evaluate(where, "web-3") == before


@pytest.mark.parametrize(("nodes", "per_node", "mode"), [(3, 8, "tile"), (3, 100, "square"), (100, 10, "square"),
                                                         (3, 420, "strip")])
def test_density_follows_the_number_of_pods(view: ViewPage, world: World, nodes: int, per_node: int, mode: str) -> None:
    """Tiles, then squares, then a strip of shares; always inside the nodes' boxes."""
    for i in range(nodes):
        view.projection.node("ADDED", world.node(f"node-{i}"))
    for i in range(nodes * per_node):
        view.projection.pod("ADDED", world.pod(f"web-{i}", f"node-{i % nodes}", owner="web-aa", hash_="aa"))
    view.flush()
    view.page.wait_for_selector('[data-key="node:node-0"]')
    squares, pods = view.page.locator(".pod.square").count(), view.page.locator(".pod").count()
    assert {"tile": squares == 0 and pods, "square": squares == nodes * per_node,
            "strip": pods == 0 and view.page.locator(".s-ready").count() == nodes}[mode]
    outside = view.page.evaluate("""() => { const svg = document.querySelector('.kl svg').getBoundingClientRect();
      return [...document.querySelectorAll('.pod > .face')].filter((e) => { const r = e.getBoundingClientRect();
        return r.bottom > svg.bottom + 1 || r.right > svg.right + 1; }).length; }""")
    assert outside == 0


def test_rolling_update_of_100_pods_is_smooth(view: ViewPage, world: World) -> None:
    """While 100 pods are replaced four by four, the median frame takes less than 50 ms."""
    old = [world.pod(f"old-{i}", f"node-{i % 3 + 1}", owner="web-aa", hash_="aa") for i in range(100)]
    shop(view, world)
    for pod in old:
        view.projection.pod("ADDED", pod)
    view.flush()
    view.page.hover('[data-key="svc:uid-web"]')
    view.frames()
    for start in range(0, 100, 4):
        for i in range(start, start + 4):
            view.projection.pod("ADDED", world.pod(f"new-{i}", f"node-{i % 3 + 1}", owner="web-bb", hash_="bb"))
            view.projection.pod("DELETED", old[i])
        view.flush([["controllers", "in", 4], ["etcd", "out", 4], ["node-1", "in", 2], ["node-2", "out", 2]])
        time.sleep(0.05)
    frames = view.frame_times()
    assert frames[len(frames) // 2] < 50, frames
    assert view.page.locator('[data-key^="pod:uid-new"]').count() == 100


def test_reduced_motion_moves_nothing(world: World) -> None:
    """Who asked for less motion gets no travelling dots and no sliding tiles."""
    with view_page(motion=False) as view:
        shop(view, world)
        view.flush([["scheduler", "in", 3]])
        time.sleep(0.1)
        assert view.page.locator(".dot").count() == 0
        assert view.page.locator(".spoke.flash").count() == 1
        assert view.page.eval_on_selector(".pod", "(e) => getComputedStyle(e).transitionDuration") == "0s"


@pytest.mark.parametrize("dark", [False, True])
def test_quiet_text_has_contrast(world: World, dark: bool) -> None:
    """Small grey text keeps 4.5:1 against its paper in both themes."""
    with view_page(dark=dark) as view:
        shop(view, world)
        ratio = view.page.evaluate("""() => {
          const rgb = (v) => { const p = document.createElement('p'); p.style.color = v; document.body.append(p);
            const c = getComputedStyle(p).color.match(/[\\d.]+/g).map(Number); p.remove(); return c; };
          const linear = (v) => (v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
          const light = (c) => { const [r, g, b] = c.map((v) => linear(v / 255));
            return .2126 * r + .7152 * g + .0722 * b; };
          const root = getComputedStyle(document.querySelector('.kl'));
          const of = (name) => light(rgb(root.getPropertyValue(name)));
          const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
          return ['--kl-quiet', '--kl-bad-ink', '--kl-ink', '--kl-accent-ink'].map((ink) =>
            Math.min(ratio(of(ink), of('--kl-paper')), ratio(of(ink), of('--kl-panel')))); }""")
        assert min(ratio) >= 4.5, ratio


def test_filter_dims_the_rest(view: ViewPage, world: World) -> None:
    """The filter takes names, namespaces and labels."""
    shop(view, world)
    for query, bright in (("app=web", 5), ("cart", 2), ("", 8)):
        view.page.fill(".kl-head input", query)
        lit = "document.querySelectorAll('.pod:not(.dim), .card[data-key^=svc]:not(.dim)').length"
        view.page.wait_for_function(f"{lit} === {bright}")


def test_closing_leaves_nothing(view: ViewPage, world: World) -> None:
    """The clean-up that anywidget calls empties the page and says goodbye."""
    shop(view, world)
    view.page.evaluate("window.close_view()")
    assert view.page.locator(".kl").count() == 0
    assert view.page.evaluate("model.sent.at(-1).type") == "bye"


def test_a_stopped_cluster_leaves_its_last_picture(view: ViewPage, world: World) -> None:
    """It stands still and says so; what is asked of it is answered with the reason, not waited for."""
    shop(view, world)
    page = view.page
    last = {"type": "ended", "now": time.time(), "items": view.projection.items}
    page.evaluate(f"window.kernel = true; window.say({json.dumps(last)})")
    page.wait_for_function("document.querySelector('.past').textContent === 'stopped: the last picture'")
    assert page.locator(".pod").count() == 6 and page.locator(".kl-time").count() == 0
    page.click('[data-key="svc:uid-web"]')
    page.wait_for_function("document.querySelector('.kl').textContent.includes('The cluster has stopped')")
