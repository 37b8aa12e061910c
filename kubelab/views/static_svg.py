"""The cluster view as a still drawing: what GitHub, nbconvert and a closed notebook show where no kernel runs.

    items ─► draw ─► one <svg> without script, light and dark by the reader's own preference

Invariant: a pure function of the view model; every text from the cluster is escaped.
Left out:  everything that moves or answers: messages, time, side panel
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from kubelab.views.items import Item

WIDTH, LEFT, NODES_X, NODES_W, SERVICES_X = 1040, 290, 330, 470, 836
TILE, PITCH_X, PITCH_Y, HEAD = 38, 54, 58, 34
SMALL, SMALL_PITCH = 12, 15
SHOWN_NODES = 12
PHASES = ("ready", "unready", "pending", "failed", "succeeded")

STYLE = """
.k{--paper:#fff;--panel:#f6f8fa;--line:#d0d7de;--ink:#1f2328;--quiet:#5f6773;--accent:#326ce5;--bad:#b34700;
--ready:#009e73;--unready:#e69f00;--pending:#56b4e9;--failed:#d55e00;--succeeded:#8b949e}
@media(prefers-color-scheme:dark){.k{--paper:#111318;--panel:#1a1f27;--line:#3a424d;--ink:#e6e8eb;--quiet:#9aa4b2;
--accent:#6f9bf2;--bad:#ff8f61;--ready:#2bc191;--unready:#f0b429;--pending:#7cc4f0;--failed:#ff7a45;--succeeded:#9aa4b2}}
.k text{fill:var(--ink);font:12px Inter,Helvetica,Arial,sans-serif}.k .q{fill:var(--quiet);font-size:10.5px}
.k .s{fill:var(--quiet);font-size:9.5px}.k .b{font-weight:600}.k .bad{fill:var(--bad)}.k .m{text-anchor:middle}
.k .e{text-anchor:end}.k .f{fill:var(--paper);stroke:var(--line)}.k .p{fill:var(--panel);stroke:var(--line)}
.k .broken{stroke:var(--failed)}.k .l{stroke:var(--line);stroke-width:2;fill:none}
.k .ready{stroke:var(--ready);fill:var(--ready);fill-opacity:.16}.k .unready{stroke:var(--unready);fill:none}
.k .pending{stroke:var(--pending);stroke-dasharray:4 3;fill:none}.k .succeeded{stroke:var(--succeeded);fill:none}
.k .failed{stroke:var(--failed);fill:var(--failed);fill-opacity:.16}.k .small.ready{fill-opacity:1}
""".replace("\n", "")


def draw(items: Mapping[str, Item]) -> str:
    """Return the picture of these items as SVG text."""
    nodes = sorted((i for i in items.values() if i["t"] == "node"), key=lambda n: (len(n["name"]), n["name"]))
    services = sorted((i for i in items.values() if i["t"] == "svc"), key=lambda s: (s["ns"], s["name"]))
    pods: dict[str, list[Item]] = {}
    for pod in sorted((i for i in items.values() if i["t"] == "pod"), key=lambda p: int(p["order"])):
        pods.setdefault(pod["node"], []).append(pod)
    boxes, bottom = _nodes(nodes[:SHOWN_NODES], pods)
    body = max(bottom, 430)
    count = sum(len(p) for p in pods.values())
    head = items.get("cluster", {})
    title = f"{len(nodes)} nodes · {count} pods · revision {head.get('revision', 0)}"
    rest, name = len(nodes) - SHOWN_NODES, str(head.get("name", ""))
    more = [_text(NODES_X, body + 16, f"and {rest} more nodes", "q")] if rest > 0 else []
    spokes = [_spoke(y) for _, y in boxes]
    parts = [_text(24, 28, name, "b"), _text(32 + 8 * len(name), 28, title, "q"),
             _rect(16, 46, LEFT - 16, body - 46, "p", 14), *spokes, *_control_plane(items, pods.get("", [])),
             *(svg for svg, _ in boxes), *_services(services), *more]
    height = body + 24
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" class="k" role="img" '
            f'aria-label="{escape(_summary(nodes, pods, services))}"><style>{STYLE}</style>'
            f'<rect width="{WIDTH}" height="{height}" style="fill:var(--paper)"/>{"".join(parts)}</svg>')


def _summary(nodes: Sequence[Item], pods: Mapping[str, Sequence[Item]], services: Sequence[Item]) -> str:
    phases = [p["phase"] for group in pods.values() for p in group]
    told = ", ".join(f"{n} {p}" for p in PHASES if (n := phases.count(p)))
    return f"Cluster with {len(nodes)} nodes, {len(phases)} pods ({told}) and {len(services)} Services"


def _control_plane(items: Mapping[str, Item], waiting: Sequence[Item]) -> list[str]:
    hub_x, hub_y = 16 + (LEFT - 16) / 2, 212
    places = {"kubectl": (24, 82), "controllers": (168, 82), "etcd": (24, 296), "scheduler": (168, 296)}
    out = [_text(30, 68, "Control plane", "b")]
    for name, (x, y) in places.items():
        item = items.get(f"part:{name}", {})
        stopped = item.get("state") in ("stopped", "restarting")
        out.append(f'<path class="l" d="M{x + 57},{y + 23} L{hub_x},{hub_y}"/>')
        out += [_rect(x, y, 114, 46, "f broken" if stopped else "f", 10), _text(x + 57, y + 20, name, "b m"),
                _text(x + 57, y + 36, item.get("state") if stopped else item.get("detail") or "",
                      "q m bad" if stopped else "q m")]
    out += [f'<circle cx="{hub_x}" cy="{hub_y}" r="42" class="f" style="stroke:var(--accent);stroke-width:2.5"/>',
            _text(hub_x, hub_y + 4, "API server", "b m")]
    if waiting:
        out.append(_text(30, 376, f"{len(waiting)} pod{'s' * (len(waiting) > 1)} waiting for a node", "q"))
        out += [_small(30 + i % 16 * SMALL_PITCH, 386 + i // 16 * SMALL_PITCH, p) for i, p in enumerate(waiting[:32])]
    return out


def _spoke(y: float) -> str:
    return f'<path class="l" d="M195,212 C310,212 300,{y} {NODES_X},{y}"/>'


def _nodes(nodes: Sequence[Item], pods: Mapping[str, Sequence[Item]]) -> tuple[list[tuple[str, float]], float]:
    """Return each node's box with the height its spoke ends at, and where the last box ends."""
    across, small = (NODES_W - 24) // PITCH_X, (NODES_W - 28) // SMALL_PITCH
    tall = sum(HEAD + -(-max(1, len(pods.get(n["name"], ()))) // across) * PITCH_Y + 18 for n in nodes)
    tiles = tall <= 640
    out, y = [], 46.0
    for node in nodes:
        mine = pods.get(node["name"], ())
        rows = -(-max(1, len(mine)) // (across if tiles else small))
        height = HEAD + rows * (PITCH_Y if tiles else SMALL_PITCH) + 6
        out.append((_node(node, mine, y, height, tiles, across if tiles else small), y + height / 2))
        y += height + 12
    return out, y - 12


def _node(node: Item, pods: Sequence[Item], y: float, height: float, tiles: bool, across: int) -> str:
    lost = not node["ready"]
    state, cls = ("NotReady", "q bad") if lost else ("Ready", "q")
    out = [_rect(NODES_X, y, NODES_W, height, "f broken" if lost else "f", 14),
           _text(NODES_X + 14, y + 21, node["name"], "b"),
           _text(NODES_X + 26 + 7.4 * len(node["name"]), y + 21, state, cls),
           _text(NODES_X + NODES_W - 14, y + 21, f"cpu {node['cpu']:.0%}  mem {node['mem']:.0%}", "q e")]
    for i, pod in enumerate(pods):
        if tiles:
            out.append(_tile(NODES_X + 16 + i % across * PITCH_X, y + HEAD + i // across * PITCH_Y, pod))
        else:
            out.append(_small(NODES_X + 14 + i % across * SMALL_PITCH, y + HEAD + i // across * SMALL_PITCH, pod))
    return "".join(out)


def _tile(x: float, y: float, pod: Item) -> str:
    phase, mid = pod["phase"], x + TILE / 2
    out = [f"<g><title>{escape(pod['name'])}: {phase} {escape(pod['reason'])}</title>",
           f'<rect x="{x}" y="{y}" width="{TILE}" height="{TILE}" rx="9" class="{phase}" stroke-width="2"/>']
    sign = {"failed": "✕", "succeeded": "✓", "pending": "…"}.get(phase)
    if sign:
        out.append(f'<text x="{mid}" y="{y + 24}" class="m b" style="fill:var(--{phase})">{sign}</text>')
    else:
        states = pod["containers"][:4]
        for i, state in enumerate(states):
            fill = "var(--ready)" if state == "ready" else "none"
            edge = "" if state == "ready" else ";stroke:var(--unready);stroke-width:2"
            out.append(f'<circle cx="{mid + (i - (len(states) - 1) / 2) * 9:g}" cy="{y + 19}" r="3.6" '
                       f'style="fill:{fill}{edge}"/>')
    if pod["restarts"]:
        out.append(f'<circle cx="{x + 36}" cy="{y + 2}" r="8" class="f broken"/>')
        out.append(_text(x + 36, y + 5.5, str(pod["restarts"]), "s m"))
    name = pod["short"] if len(pod["short"]) <= 10 else f"{pod['short'][:6]}…{pod['short'][-3:]}"
    return "".join([*out, _text(mid, y + TILE + 12, name, "s m"), "</g>"])


def _small(x: float, y: float, pod: Item) -> str:
    return (f'<rect x="{x}" y="{y}" width="{SMALL}" height="{SMALL}" rx="3" class="small {pod["phase"]}">'
            f'<title>{escape(pod["name"])}: {pod["phase"]}</title></rect>')


def _services(services: Sequence[Item]) -> list[str]:
    out = [_text(SERVICES_X, 58, "Services", "b")]
    for i, service in enumerate(services[:6]):
        y, none = 68 + i * 64, not service["pods"]
        out += [_rect(SERVICES_X, y, 188, 54, "f broken" if none else "f", 10),
                _text(SERVICES_X + 12, y + 22, service["name"], "b"),
                _text(SERVICES_X + 12, y + 40, service["ip"], "q"),
                _text(SERVICES_X + 178, y + 40, "no endpoints" if none else f"{len(service['pods'])} ready",
                      "q e bad" if none else "q e")]
    if len(services) > 6:
        out.append(_text(SERVICES_X + 188, 68 + 6 * 64 + 12, f"and {len(services) - 6} more", "q e"))
    return out


def _text(x: float, y: float, words: object, cls: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{cls}">{escape(str(words))}</text>'


def _rect(x: float, y: float, w: float, h: float, cls: str, rx: float) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{rx:g}" class="{cls}"/>'
