"""The consensus view in a real browser, on a plain page: what is drawn, and what its buttons send."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubelab.views.consensus import picture
from kubelab.views.esm import STATIC, esm
from tests.views.members import FakeGroup, log
from tests.views.page import ARGS, CHROMIUM

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]

PAGE = """<!doctype html><meta charset="utf-8"><style>body{margin:0;background:%s}%s</style><div id="at"></div>
<script type="module">
import view from "./view.js";
const heard = {};
const model = { sent: [], picture: %s, get(name) { return this[name]; }, on(name, f) { heard[name] = f; },
  off(name) { delete heard[name]; }, send(m) { this.sent.push(m); } };
window.model = model;
window.show = (p) => { model.picture = p; heard["change:picture"](); };
window.say = (m) => heard["msg:custom"](m);
window.close_view = view.render({ model, el: document.getElementById("at") });
window.ready = true;
</script>"""


@contextmanager
def consensus_page(group: FakeGroup, *, dark: bool = False, width: int = 1072, motion: bool = True) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    html = PAGE % ("#111318" if dark else "#fff", (STATIC / "consensus_view.css").read_text(),
                   json.dumps(picture(group)))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = browser.new_page(viewport={"width": width, "height": 620}, color_scheme="dark" if dark else "light",
                                reduced_motion="no-preference" if motion else "reduce")
        errors: list[str] = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.route("http://view.test/**", lambda route: route.fulfill(
            body=esm("consensus_view.js") if route.request.url.endswith(".js") else html,
            content_type="text/javascript" if route.request.url.endswith(".js") else "text/html"))
        page.goto("http://view.test/")
        page.wait_for_function("window.ready")
        yield page
        if os.environ.get("KUBELAB_SHOTS"):
            page.screenshot(path=f"{os.environ['KUBELAB_SHOTS']}/{len(group.members)}-{width}-{dark}-{motion}.png")
        browser.close()
        assert not errors, errors


def show(page: Any, group: FakeGroup) -> None:
    page.evaluate(f"window.show({json.dumps(picture(group))})")


def sent(page: Any) -> Any:
    return page.evaluate("model.sent.splice(0)")


def test_buttons_send_what_they_say_and_change_with_the_member() -> None:
    group = FakeGroup()
    with consensus_page(group) as page:
        for words in ("kill m1", "pause m1", "slow disk m1"):
            page.get_by_label(words, exact=True).click()
        assert sent(page) == [{"act": a, "member": 1} for a in ("kill", "pause", "slow")]
        group.put(1, state="dead")
        group.put(2, role="candidate", term=3)
        show(page, group)
        page.get_by_label("restart m1", exact=True).click()
        assert sent(page) == [{"act": "restart", "member": 1}]
        assert "✕ dead" in page.locator("[data-member='1']").inner_text()


def test_a_cut_is_made_by_picking_members_with_the_keyboard_and_healed_again() -> None:
    group = FakeGroup(5)
    with consensus_page(group, dark=True) as page:
        assert page.get_by_role("button", name="partition").is_disabled()
        for i in (0, 1):
            page.locator(f"[data-seat='{i}']").focus()
            page.keyboard.press("Enter")
        page.get_by_role("button", name="partition").click()
        assert sent(page) == [{"act": "partition", "groups": [[2, 3, 4], [0, 1]]}]
        group.groups = [[2, 3, 4], [0, 1]]
        group.put(0, tail=log(9))
        group.put(2, role="leader", term=3, commit=8, tail=[*log(7), *log(8, 3)[-1:]])
        show(page, group)
        assert page.locator(".line.broken").count() == 6
        assert page.locator("[data-member='0'] .entry.open").count() == 2
        assert "m2 leads" in page.locator(".say").inner_text()
        page.get_by_role("button", name="heal").click()
        assert sent(page) == [{"act": "heal"}]


def test_it_says_why_nothing_can_be_written() -> None:
    group = FakeGroup()
    with consensus_page(group) as page:
        def said(**fields: Any) -> str:
            group.put(0, role="follower", **fields)
            show(page, group)
            return str(page.locator(".say").inner_text())

        assert "Nobody leads" in said()
        group.groups = [[0], [1], [2]]
        assert "No side of the cut has 2 of 3" in said()
        group.put(1, state="dead")
        assert "No quorum: 1 of 3 run, 2 are needed" in said(state="paused")
        assert page.locator(".seat.dead").count() == page.locator(".seat.paused").count() == 1


def test_an_entry_tells_its_term_index_and_key() -> None:
    with consensus_page(FakeGroup(), width=720) as page:
        page.locator("[data-entry='0:6']").click()
        told = page.locator(".told").inner_text()
        assert all(part in told for part in ("entry 6", "term 2", "/registry/pods/default/web-6", "committed"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_messages_fly_once_and_not_at_all_where_motion_is_unwanted() -> None:
    flown = json.dumps({"type": "flights", "flights": [["m0", "m1", "append", 2], ["m0", "m2", "heartbeat", 9]]})
    for motion, dots in ((True, 2), (False, 0)):
        with consensus_page(FakeGroup(), motion=motion) as page:
            assert page.evaluate(f"(window.say({flown}), document.querySelectorAll('.dot').length)") == dots
            page.wait_for_function("!document.querySelector('.dot')")


def test_one_member_is_told_to_be_a_store_without_consensus() -> None:
    with consensus_page(FakeGroup(1)) as page:
        assert "without consensus" in page.locator(".say").inner_text()
        assert page.get_by_role("button", name="partition").count() == 0
        page.evaluate("window.close_view()")
        assert page.locator(".kc").count() == 0
