"""The first notebook in a real Chromium: every cell runs, and the live view shows what happens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.lab import chromium_path, errors, jupyter, page, run_all

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def test_the_first_notebook_runs_and_its_view_lives() -> None:
    """All cells run without an error, and the cluster view draws the pods that are there in the end."""
    pytest.importorskip("playwright")
    if chromium_path() is None:
        pytest.skip("no Chromium here")
    with jupyter() as url, page(url) as opened:
        run_all(opened)
        assert errors(opened) == []
        view = opened.locator(".kl").first
        view.scroll_into_view_if_needed()
        opened.wait_for_timeout(500)
        assert view.locator("[data-key^='pod:']").count() == 7
        assert view.locator("[data-key^='node:']").count() == 3
        _travel(opened, view)


def _travel(opened: Any, view: Any) -> None:
    """Home is the beginning of the cluster, when no pod was there; a mark leads to its diff; End is live again."""
    slider = view.locator(".kl-time input")
    slider.focus()
    opened.keyboard.press("Home")
    view.locator(".kl-time .told", has_text="revision 1 ").wait_for(timeout=20_000)
    opened.wait_for_function("document.querySelectorAll('.kl .pod:not(.leave)').length === 0")
    view.locator(".kl-time .mark button").last.click()
    view.locator(".kl-side .diff .add").first.wait_for(timeout=20_000)
    slider.focus()
    opened.keyboard.press("End")
    opened.wait_for_function("document.querySelectorAll('.kl .pod:not(.leave)').length === 7")
    assert "live" in view.locator(".kl-time .told").inner_text()
