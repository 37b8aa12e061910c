"""The first notebook in a real Chromium: every cell runs, and the live view shows what happens."""

from __future__ import annotations

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
