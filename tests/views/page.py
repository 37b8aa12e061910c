"""The cluster view on a plain page: a stand-in for the widget's model, driven from Python."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubelab import Cluster
from kubelab.views.bridge import Bridge
from kubelab.views.esm import STATIC, esm
from kubelab.views.model import Projection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]

PAGE = """<!doctype html><meta charset="utf-8"><style>body{margin:0;background:%s}%s</style><div id="at"></div>
<script type="module">
import view from "./cluster_view.js";
const heard = [];
const model = { sent: [], get: (name) => window.saved?.[name], on(_, f) { heard.push(f); }, off() { heard.length = 0; },
  send(m) { this.sent.push(m); if (window.kernel) return; const data = window.answers?.[m.what] ?? {};
    if (m.type === "ask") setTimeout(() => window.say({ type: "answer", view: m.view, id: m.id, data }), 5); } };
window.model = model;
window.say = (m) => heard.slice().forEach((f) => f(m));
window.close_view = view.render({ model, el: document.getElementById("at") });
window.ready = true;
</script>"""

FRAMES = """() => { window.frames_ = []; let last = performance.now();
  const tick = (t) => { window.frames_.push(t - last); last = t; requestAnimationFrame(tick); };
  requestAnimationFrame(tick); }"""


class ViewPage:
    """One page with one view; `flush` sends what changed in `projection`, as the bridge does."""

    def __init__(self, page: Any) -> None:
        self.page, self.projection, self.seq, self.started = page, Projection("lab"), 0, False
        self.marks = 0
        for name, detail in (("kubectl", "you"), ("apiserver", "86 req/s"), ("etcd", "revision 1284"),
                             ("controllers", "11 loops, 3 busy"), ("scheduler", "queue 2"), ("proxy", ""),
                             ("dns", "")):
            state = "" if name == "kubectl" else "running"
            self.projection.put(f"part:{name}", {"t": "part", "name": name, "state": state, "detail": detail})

    def mark(self, text: str, mood: str = "did", rev: int = 0) -> None:
        self.marks += 1
        self.projection.put(f"mark:{self.marks}", {"t": "mark", "order": self.marks, "at": time.time(), "text": text,
                                                   "mood": mood, "rev": rev, "of": None})

    def flush(self, dots: list[Any] | None = None) -> None:
        diff = self.projection.take()
        if diff is None and not dots:
            return
        self.seq += 1
        message: dict[str, Any] = {"seq": self.seq, "now": time.time()}
        if not self.started:
            self.started = True
            message |= {"type": "model", "items": self.projection.items}
        else:
            message |= {"type": "diff", "dots": dots or []} | (diff or {"set": {}, "del": []})
        self.page.evaluate(f"window.say({json.dumps(message)})")

    def frames(self) -> None:
        self.page.evaluate(FRAMES)

    def frame_times(self) -> list[float]:
        return sorted(self.page.evaluate("window.frames_"))


class Wired:
    """The page's view as the front end of a running cluster: messages go to its bridge and back."""

    def __init__(self, page: Any, cluster: Cluster) -> None:
        self.page, self.cluster = page, cluster
        self.outbox: list[Any] = []
        self.bridge = Bridge(cluster.client, self.outbox.append, journal=cluster.journal,
                             components=cluster.components, name="lab")
        cluster.call(self.bridge.start())
        page.evaluate("window.kernel = true")
        cluster.call(self.bridge.hear({"type": "hello", "view": "v"}))
        self.pump()

    def pump(self) -> None:
        """Carry what waits, both ways."""
        while self.outbox:
            self.page.evaluate(f"window.say({json.dumps(self.outbox.pop(0))})")
        for message in self.page.evaluate("model.sent.splice(0)"):
            if message["type"] == "ask":
                self.cluster.call(self.bridge.hear(message))

    def until(self, condition: str, within_s: float = 10) -> None:
        """Carry messages until a condition holds on the page."""
        ends = time.monotonic() + within_s
        while True:
            self.pump()
            if self.page.evaluate(condition):
                return
            assert time.monotonic() < ends, f"it never came: {condition}"
            time.sleep(0.01)

    def seek(self, revision: int) -> None:
        """Drag the handle to a revision, and wait until it is told and drawn."""
        self.page.locator(".kl-time input").evaluate(
            f"(e) => {{ e.value = {revision}; e.dispatchEvent(new Event('input')); }}")
        self.settled()

    def settled(self) -> None:
        self.until("!/asking/.test(document.querySelector('.kl-time .told').textContent)")
        self.page.evaluate("() => new Promise((ok) => requestAnimationFrame(() => requestAnimationFrame(ok)))")
        self.until("!/asking/.test(document.querySelector('.kl').textContent)")

    def close(self) -> None:
        self.cluster.call(self.bridge.stop())


@contextmanager
def wired_page(cluster: Cluster, **options: Any) -> Iterator[Wired]:
    with view_page(**options) as view:
        wired = Wired(view.page, cluster)
        yield wired
        wired.close()


@contextmanager
def view_page(*, dark: bool = False, width: int = 1072, height: int = 640, motion: bool = True) -> Iterator[ViewPage]:
    from playwright.sync_api import sync_playwright

    css = (STATIC / "cluster_view.css").read_text()
    html = PAGE % ("#0d0f13" if dark else "#ffffff", css)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
                                reduced_motion="no-preference" if motion else "reduce")
        if os.environ.get("KUBELAB_SHOW"):
            page.on("console", lambda m: print("console:", m.text))
        errors: list[str] = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.route("http://view.test/**", lambda route: route.fulfill(
            body=esm("cluster_view.js") if route.request.url.endswith(".js") else html,
            content_type="text/javascript" if route.request.url.endswith(".js") else "text/html"))
        page.goto("http://view.test/")
        page.wait_for_function("window.ready")
        yield ViewPage(page)
        browser.close()
        assert not errors, errors
