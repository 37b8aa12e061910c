"""JupyterLab in a real Chromium: what the browser tests share, and how the README's screenshot is made.

    python -m tests.browser.lab notebooks/img/screenshot.png
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                    "--disable-background-networking", "--disable-component-update"]


def chromium_path() -> str | None:
    """Return the system's Chromium, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def jupyter() -> Iterator[str]:
    """Run `kubelab lab --no-browser` on a copy of the notebooks, which JupyterLab saves, and yield its URL.

    The copies lack their last cell, which stops the cluster: its picture is what we want to look at.
    """
    with tempfile.TemporaryDirectory(prefix="kubelab-lab-") as home:
        for folder in ("notebooks", "exercises"):
            shutil.copytree(ROOT / folder, Path(home) / folder)
        for path in (Path(home) / "notebooks").glob("*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            assert notebook.cells.pop().source == "cluster.stop()"
            nbformat.write(notebook, path)
        with _server(home) as url:
            yield url


@contextlib.contextmanager
def _server(home: str) -> Iterator[str]:
    command = [sys.executable, "-m", "kubelab", "lab", "--no-browser", "--dir", home, "--port", "18888"]
    environment = os.environ | {"JUPYTERLAB_WORKSPACES_DIR": f"{home}/.workspaces"}  # nobody's open tabs come along
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+/lab\S*token=\w+", line)
            if found:
                yield found[0]
                return
        raise RuntimeError("JupyterLab ended before it printed a URL")
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def page(url: str, *, dark: bool = False, width: int = 1440, height: int = 1000) -> Iterator[Any]:
    """Open JupyterLab on `url` and yield its Playwright page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_OPTIONS)
        opened = browser.new_page(viewport={"width": width, "height": height})
        opened.goto(url)
        opened.wait_for_selector(".jp-Notebook", timeout=60_000)
        if dark:
            opened.evaluate("document.body.dataset.jpThemeLight = 'false'")
        try:
            yield opened
        finally:
            browser.close()


def run_all(opened: Any, timeout_s: float = 240) -> None:
    """Run every cell and wait until all have run, or one has failed."""
    from playwright.sync_api import TimeoutError

    opened.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    opened.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", state="attached", timeout=60_000)
    opened.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)  # else it asks which kernel to use
    for _ in range(8):  # what is run before the kernel's channel is open can be lost
        opened.get_by_role("menuitem", name="Run", exact=True).click()
        opened.locator('[data-command="runmenu:run-all"]').click()
        with contextlib.suppress(TimeoutError):
            opened.wait_for_function("""() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].some(
                prompt => /[*0-9]/.test(prompt.textContent))""", timeout=4000)
            break
    opened.wait_for_function("""() => {
        const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')]
        const ran = cell => /\\[\\d+\\]/.test(cell.querySelector('.jp-InputPrompt')?.textContent || '')
        const failed = document.querySelector('.jp-OutputArea-output[data-mime-type$="jupyter.error"]')
        return failed || cells.length && cells.every(ran)
    }""", timeout=timeout_s * 1000)


def errors(opened: Any) -> list[str]:
    """Return the text of every error output."""
    found = opened.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], "
                           ".jp-Notebook .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
    return [str(text) for text in found.all_inner_texts()]


def main() -> None:
    """Make the README's screenshot: the first notebook, run, scrolled to its live view."""
    with jupyter() as url, page(url) as opened:
        run_all(opened)
        opened.locator(".kl").first.scroll_into_view_if_needed()
        opened.wait_for_timeout(1500)
        opened.screenshot(path=sys.argv[1])


if __name__ == "__main__":
    main()
