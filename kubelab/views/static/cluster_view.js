// @ts-check
/**
 * The live cluster view: a drawing that is a function of the model, keyed by uid.
 *
 *   kernel ─► {type: "model" | "diff", ...} ─► items (a flat Map) ─► layout() ─► draw() ─► SVG
 *   pointer, keys ─► {type: "ask", what: "object" | "events" | "logs" | "source"} ─► kernel ─► side panel
 *   time bar ─► {type: "ask", what: "past", revision} ─► kernel ─► the items as of then, drawn the same way
 *
 * Invariant: `layout` and `explain` are pure; the DOM changes only in `Stage`, `Panel` and `TimeBar`; data is written
 * with textContent, never as markup.
 *
 * Sections: model · layout · drawing · message dots · wiring
 * Beside it: words.js, panel.js, time_travel.js, dom.js; a widget is one module, so views/esm.py joins them
 *
 * @typedef {Record<string, any>} Item       one thing to draw, `t` says what: cluster, part, node, pod, svc, mark
 * @typedef {Map<string, Item>} Items
 * @typedef {{set: Record<string, Item>, del: string[]}} Diff
 * @typedef {{x: number, y: number, w: number, h: number}} Box
 * @typedef {number[]} Curve                 cubic Bézier: x0, y0, x1, y1, x2, y2, x3, y3
 * @typedef {{mode: string, slots: Map<string, (string|null)[]>, body: number, across: number}} Memory
 * @typedef {{width: number, height: number, mode: string, size: number, hub: {x: number, y: number, r: number},
 *   panel: Box, tray: Box, boxes: Map<string, Box>, spokes: Map<string, Curve>, trunk: Map<string, string>,
 *   services: string[], hiddenServices: number, counts: Map<string, Record<string, number>>, waiting: string[]}} Layout
 */
import { ago, button, clamp, grouped, h, plural, put, s, themeOf } from "./dom.js";
import { Panel } from "./panel.js";
import { Pictures, TimeBar } from "./time_travel.js";
import { PARTS, explain } from "./words.js";

// ── model ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Apply a diff in place. @param {Items} items @param {Diff} diff */
export function applyDiff(items, diff) {
  for (const key in diff.set) items.set(key, diff.set[key]);
  for (const key of diff.del) items.delete(key);
}

// ── layout: where everything stands ──────────────────────────────────────────────────────────────────────────────────

const TILE = 38, PITCH_X = 54, PITCH_Y = 58, HEAD = 32, GAP = 12;
const BODY_MIN = 420, BODY_MAX = 640;
const CORNERS = ["kubectl", "controllers", "etcd", "scheduler"];
const SYSTEM = new Set(["kube-system", "kube-public", "kube-node-lease"]);

/** @returns {Memory} what a layout remembers of the one before, so that tiles keep their places */
export const freshMemory = () => ({ mode: "tile", slots: new Map(), body: BODY_MIN, across: 8 });

/**
 * @param {Items} items @param {number} wanted width in px @param {Memory} memory updated
 * @returns {Layout}
 */
export function layout(items, wanted, memory) {
  const width = Math.max(688, wanted);
  const cpW = clamp(width * 0.29, 204, 300), svcW = clamp(width * 0.2, 148, 210), gap = clamp(width * 0.036, 26, 40);
  const nodesX = cpW + gap, nodesW = width - cpW - svcW - 2 * gap;
  const nodes = sorted(items, "node", (n) => n.name);
  const { slots, waiting, counts } = placePods(items, memory);
  const cells = nodeCells(nodes, slots, counts, nodesX, nodesW, memory);
  const body = memory.body;
  /** @type {Map<string, Box>} */
  const boxes = new Map(cells.boxes);
  const hub = { x: cpW / 2, y: 166, r: 42 };
  const cardW = Math.min(114, (cpW - 22) / 2);
  CORNERS.forEach((name, i) => boxes.set(`part:${name}`, {
    x: i % 2 ? cpW - cardW - 7 : 7, y: i < 2 ? 36 : 250, w: cardW, h: 46 }));
  boxes.set("part:apiserver", { x: hub.x - hub.r, y: hub.y - hub.r, w: 2 * hub.r, h: 2 * hub.r });
  const extras = sorted(items, "part", (p) => p.name).filter((p) => !boxes.has(`part:${p.name}`));
  const pill = Math.min(82, (cpW - 14) / Math.max(1, extras.length) - 8);
  extras.forEach((p, i) => boxes.set(`part:${p.name}`, {
    x: hub.x + (i - extras.length / 2) * (pill + 8) + 4, y: 310, w: pill, h: 26 }));
  const panel = { x: 0, y: 0, w: cpW, h: body };
  const tray = { x: 10, y: 348, w: cpW - 20, h: body - 358 };
  const spokes = partSpokes(boxes, hub, items);
  const trunk = nodeSpokes(nodes, boxes, cells.columns, hub, cpW, nodesX, spokes);
  placeTray(waiting, tray, boxes);
  const { shown, hidden } = placeServices(items, boxes, width - svcW, svcW, body);
  return { width, height: body, mode: memory.mode, size: cells.size, hub, panel, tray, boxes, spokes, trunk,
    services: shown, hiddenServices: hidden, counts, waiting };
}

/**
 * Give every pod a slot on its node. A tile keeps its slot while it lives; a new one enters at the end; gaps are closed
 * only when they would cost a row.
 * @param {Items} items @param {Memory} memory
 */
function placePods(items, memory) {
  /** @type {Map<string, Item[]>} */
  const byNode = new Map();
  /** @type {Map<string, Record<string, number>>} */
  const counts = new Map();
  for (const item of items.values()) {
    if (item.t !== "pod") continue;
    const node = items.has(`node:${item.node}`) ? item.node : "";
    const list = byNode.get(node);
    if (list) list.push(item);
    else byNode.set(node, [item]);
    const count = counts.get(node) ?? {};
    count[item.phase] = (count[item.phase] ?? 0) + 1;
    counts.set(node, count);
  }
  const slots = new Map();
  for (const [node, pods] of byNode) {
    if (!node) continue;
    const living = new Set(pods.map((p) => p.uid));
    let row = (memory.slots.get(node) ?? []).map((uid) => (uid !== null && living.has(uid) ? uid : null));
    const placed = new Set(row);
    const fresh = pods.filter((p) => !placed.has(p.uid)).sort((a, b) => a.order - b.order).map((p) => p.uid);
    while (row.length && row[row.length - 1] === null) row.pop();
    const rows = (/** @type {number} */ n) => Math.ceil(n / memory.across);
    if (rows(row.length + fresh.length) > rows(pods.length)) row = row.filter((uid) => uid !== null);
    row.push(...fresh);
    slots.set(node, row);
  }
  memory.slots = slots;
  const waiting = (byNode.get("") ?? []).sort((a, b) => a.order - b.order).map((p) => `pod:${p.uid}`);
  return { slots, waiting, counts };
}

/**
 * Choose tile, square or strip for all nodes alike, and place the nodes' boxes and their pods.
 * @param {Item[]} nodes @param {Map<string, (string|null)[]>} slots @param {Map<string, Record<string, number>>} counts
 * @param {number} x @param {number} w @param {Memory} memory
 */
function nodeCells(nodes, slots, counts, x, w, memory) {
  const n = nodes.length;
  /** @type {Map<string, Box>} */
  const boxes = new Map();
  const columns = n <= 4 ? 1 : n <= 8 ? 2 : n <= 15 ? 3 : fullest(n, Math.ceil(Math.sqrt((n * w) / BODY_MAX)));
  const rows = Math.max(1, Math.ceil(n / columns)), gap = n > 30 ? 4 : n > 8 ? 8 : GAP;
  const cellW = (w - (columns - 1) * gap) / columns;
  const perRow = Math.max(1, Math.floor((cellW - 20) / PITCH_X));
  const used = nodes.map((node) => slots.get(node.name)?.length ?? 0);
  const most = Math.max(0, ...used);
  const need = Array.from({ length: rows }, (_, r) => {
    const here = Math.max(1, ...used.slice(r * columns, (r + 1) * columns));
    return HEAD + Math.ceil(here / perRow) * PITCH_Y + 6;
  });
  const tall = need.reduce((a, b) => a + b, 0) + (rows - 1) * gap;
  const slack = memory.mode === "tile" ? 1 : 0.8; // once it is squares, stay so until there is clearly room again
  const mode = most < 60 * slack && cellW >= 110 && tall <= BODY_MAX * slack ? "tile" : most < 400 ? "square" : "strip";
  const head = cellW >= 90 ? HEAD + 3 : 5, tallest = (BODY_MAX - (rows - 1) * gap) / rows;
  const size = mode === "tile" ? TILE : fit(most, most < 60 ? 26 : 12, cellW - 2 * inset(cellW), tallest - head - 8);
  const pitch = size + (size > 7 ? 3 : 2), across = Math.max(1, Math.floor((cellW - 2 * inset(cellW)) / pitch));
  const lines = Math.ceil(Math.max(1, most) / across);
  memory.across = mode === "tile" ? perRow : across;
  const square = rows * (head + (size ? lines * pitch : 60) + 8 + gap) - gap;
  const wantBody = Math.max(BODY_MIN, mode === "tile" ? tall : square);
  memory.body = mode === memory.mode ? Math.max(memory.body, wantBody) : wantBody;
  memory.mode = mode === "square" && !size ? "strip" : mode;
  const spare = mode === "tile" ? (memory.body - tall) / rows : 0;
  const even = (memory.body - (rows - 1) * gap) / rows;
  let y = 0;
  for (let r = 0; r < rows; r++) {
    const h = mode === "tile" ? need[r] + spare : even;
    for (let c = 0; c < columns && r * columns + c < n; c++) {
      const node = nodes[r * columns + c], box = { x: x + c * (cellW + gap), y, w: cellW, h };
      boxes.set(`node:${node.name}`, box);
      if (memory.mode !== "strip") placeTiles(slots.get(node.name) ?? [], box, memory.mode, size, perRow, head, boxes);
    }
    y += h + gap;
  }
  return { boxes, columns, size };
}

/** @param {number} w @returns {number} px between a node's border and its squares */
const inset = (w) => (w < 90 ? 5 : 14);

/** @param {number} n @param {number} least @returns {number} the number of columns that leaves the fewest cells empty */
function fullest(n, least) {
  const empty = (/** @type {number} */ c) => Math.ceil(n / c) * c - n;
  return [least, least + 1, least + 2].reduce((best, c) => (empty(c) < empty(best) ? c : best));
}

/**
 * @param {number} count @param {number} most px @param {number} w @param {number} h
 * @returns {number} the largest square of which `count` fit, 0 for none
 */
function fit(count, most, w, h) {
  for (let size = most; size >= 4; size--) {
    const pitch = size + (size > 7 ? 3 : 2);
    if (Math.floor(w / pitch) * Math.floor(h / pitch) >= count) return size;
  }
  return 0;
}

/**
 * @param {(string|null)[]} row @param {Box} box @param {string} mode @param {number} size @param {number} perRow
 * @param {number} head @param {Map<string, Box>} boxes
 */
function placeTiles(row, box, mode, size, perRow, head, boxes) {
  const tile = mode === "tile", pitch = size + (size > 7 ? 3 : 2);
  const across = tile ? perRow : Math.max(1, Math.floor((box.w - 2 * inset(box.w)) / pitch));
  row.forEach((uid, i) => {
    if (uid === null) return;
    const c = i % across, r = Math.floor(i / across);
    boxes.set(`pod:${uid}`, tile
      ? { x: box.x + 16 + c * PITCH_X, y: box.y + HEAD + 2 + r * PITCH_Y, w: TILE, h: TILE }
      : { x: box.x + inset(box.w) + c * pitch, y: box.y + head + r * pitch, w: size, h: size });
  });
}

/** @param {string[]} waiting @param {Box} tray @param {Map<string, Box>} boxes */
function placeTray(waiting, tray, boxes) {
  const across = Math.floor(tray.w / 15), room = across * Math.max(1, Math.floor((tray.h - 20) / 15));
  waiting.slice(0, room).forEach((key, i) => boxes.set(key, {
    x: tray.x + (i % across) * 15, y: tray.y + 20 + Math.floor(i / across) * 15, w: 12, h: 12 }));
}

/** @param {Items} items @param {Map<string, Box>} boxes @param {number} x @param {number} w @param {number} body */
function placeServices(items, boxes, x, w, body) {
  const rank = (/** @type {Item} */ s) => (SYSTEM.has(s.ns) || s.name === "kubernetes" ? 1 : 0);
  const all = sorted(items, "svc", (s) => `${rank(s)} ${s.ns} ${s.name}`);
  const compact = all.length * 64 > body - 28, h = compact ? 30 : 54, pitch = h + (compact ? 6 : 10);
  const room = Math.max(1, Math.floor((body - 28) / pitch) - (compact ? 1 : 0));
  all.slice(0, room).forEach((s, i) => boxes.set(`svc:${s.uid}`, { x, y: 28 + i * pitch, w, h }));
  return { shown: all.slice(0, room).map((s) => `svc:${s.uid}`), hidden: Math.max(0, all.length - room) };
}

/** @param {Map<string, Box>} boxes @param {{x: number, y: number, r: number}} hub @param {Items} items */
function partSpokes(boxes, hub, items) {
  /** @type {Map<string, Curve>} */
  const spokes = new Map();
  for (const item of items.values()) {
    const box = item.t === "part" && item.name !== "apiserver" ? boxes.get(`part:${item.name}`) : undefined;
    if (!box) continue;
    const low = box.h < 30; // a pill hangs straight below the hub, between the cards
    const x = low ? clamp(box.x + box.w / 2, hub.x - 16, hub.x + 16) : box.x + box.w / 2, y = box.y > hub.y ? box.y : box.y + box.h;
    if (low) {
      const top = hub.y + Math.sqrt(hub.r ** 2 - (x - hub.x) ** 2);
      spokes.set(item.name, [x, top, x, top, x, y, x, y]);
      continue;
    }
    const d = Math.hypot(x - hub.x, y - hub.y), fx = hub.x + ((x - hub.x) * hub.r) / d, fy = hub.y + ((y - hub.y) * hub.r) / d;
    spokes.set(item.name, [fx, fy, fx, fy, x, y, x, y]);
  }
  return spokes;
}

/**
 * One spoke a node; in several columns the nodes of a row share one.
 * @param {Item[]} nodes @param {Map<string, Box>} boxes @param {number} columns @param {{x: number, y: number, r: number}} hub
 * @param {number} edge @param {number} nodesX @param {Map<string, Curve>} spokes
 */
function nodeSpokes(nodes, boxes, columns, hub, edge, nodesX, spokes) {
  /** @type {Map<string, string>} */
  const trunk = new Map();
  const bend = edge + (nodesX - edge) * 0.3;
  nodes.forEach((node, i) => {
    const box = boxes.get(`node:${node.name}`), name = columns === 1 ? node.name : `row-${Math.floor(i / columns)}`;
    trunk.set(node.name, name);
    if (!box || spokes.has(name)) return;
    const y = box.y + Math.min(box.h / 2, 66);
    spokes.set(name, [hub.x + hub.r, hub.y, bend, hub.y, bend, y, nodesX, y]);
  });
  return trunk;
}

/** @param {Items} items @param {string} t @param {(item: Item) => string} by */
function sorted(items, t, by) {
  const found = [];
  for (const item of items.values()) if (item.t === t) found.push(item);
  const order = new Intl.Collator("en", { numeric: true });
  return found.sort((a, b) => order.compare(by(a), by(b)));
}

/** @param {Item} item @param {string} query @returns {boolean} whether a pod or Service fits the filter */
export function matches(item, query) {
  return query.split(/[\s,]+/).filter(Boolean).every((word) => {
    const [key, value] = word.split("=");
    const labels = item.labels ?? item.selector ?? {};
    if (value !== undefined) return key in labels && String(labels[key]).startsWith(value);
    return item.name.includes(word) || (item.ns ?? "").includes(word);
  });
}

// ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Curve} c */
const pathOf = (c) => `M${c[0]},${c[1]} C${c[2]},${c[3]} ${c[4]},${c[5]} ${c[6]},${c[7]}`;

/** @param {number} x @param {number} y @param {string} cls @param {string} words @param {Record<string, any>} [more] */
const text = (x, y, cls, words, more = {}) => s("text", { x, y, class: cls, ...more }, words);

/** @param {string} words @param {number} px @param {number} size */
const cut = (words, px, size = 10.5) => {
  const room = Math.floor(px / (size * 0.55));
  return words.length <= room ? words : `${words.slice(0, Math.max(1, room - 1))}…`;
};

/** @param {string} name @param {number} room characters @returns {string} the middle goes first: cart-9f stays cart-9f */
const tileName = (name, room = 9) => (name.length <= room ? name : `${name.slice(0, room - 4)}…${name.slice(-3)}`);

/** Keeps one element per key and rebuilds its inside only when its item, its size or its look changed. */
class Stage {
  /** @param {SVGElement} svg */
  constructor(svg) {
    this.svg = svg;
    this.layers = Object.fromEntries(["rooms", "spokes", "nodes", "parts", "services", "traffic", "pods", "dots"].map((name) => {
      const g = s("g", { class: `layer-${name}` });
      svg.append(g);
      return [name, g];
    }));
    /** @type {Map<string, {el: SVGElement, item: Item, stamp: string, box: Box}>} */
    this.drawn = new Map();
    this.roving = "part:apiserver";
    this.framesStamp = this.trafficStamp = "";
  }

  /**
   * @param {Items} items @param {Layout} at @param {{hover: string, pick: string, filter: string, now: number}} look
   */
  draw(items, at, look) {
    this.svg.setAttribute("viewBox", `0 0 ${at.width} ${at.height}`);
    this.svg.setAttribute("width", String(at.width));
    this.#frames(at, items);
    const seen = new Set();
    for (const [key, box] of at.boxes) {
      const item = items.get(key);
      if (!item) continue;
      seen.add(key);
      this.#place(key, item, box, at, look);
    }
    for (const [key, known] of this.drawn) if (!seen.has(key)) this.#leave(key, known);
    this.#traffic(items, at, look);
    if (!this.drawn.has(this.roving)) this.rove("part:apiserver");
  }

  /** @param {Layout} at @param {Items} items */
  #frames(at, items) {
    const spokes = [...at.spokes].map(([name, curve]) => {
      const node = items.get(`node:${name}`), part = items.get(`part:${name}`);
      const broken = (node && (!node.ready || node.kubelet === "stopped")) || part?.state === "stopped";
      return { name, d: pathOf(curve), cls: broken ? "spoke broken" : "spoke" };
    });
    const more = at.waiting.filter((key) => !at.boxes.has(key)).length;
    const stamp = JSON.stringify([at.panel, at.tray, at.waiting.length, more, at.hiddenServices, spokes]);
    if (stamp === this.framesStamp) return;
    this.framesStamp = stamp;
    const { panel, tray } = at;
    const services = at.width - 4;
    this.layers.rooms.replaceChildren(
      s("rect", { class: "room", x: panel.x + 0.5, y: 0.5, width: panel.w - 1, height: panel.h - 1, rx: 14 }),
      text(14, 22, "bold", "Control plane"),
      text(tray.x, tray.y + 11, "quiet", at.waiting.length ? `${plural(at.waiting.length, "pod")} waiting for a node` : ""),
      text(tray.x + tray.w, tray.y + 11, "quiet end", more ? `+${more}` : ""),
      text([...at.boxes].find(([key]) => key.startsWith("svc:"))?.[1].x ?? services - 140, 14, "bold", "Services"),
      text(services, at.height - 4, "quiet end", at.hiddenServices ? `and ${at.hiddenServices} more` : ""));
    this.layers.spokes.replaceChildren(...spokes.map((k) => s("path", { d: k.d, class: k.cls, "data-spoke": k.name })));
  }

  /** @param {string} key @param {Item} item @param {Box} box @param {Layout} at @param {any} look */
  #place(key, item, box, at, look) {
    const dim = look.filter && (item.t === "pod" || item.t === "svc") && !matches(item, look.filter);
    const strip = item.t === "node" && at.mode === "strip" ? JSON.stringify(at.counts.get(item.name) ?? {}) : "";
    const tick = item.t === "node" && !item.ready ? Math.round(look.now) : 0;
    const stamp = `${Math.round(box.w)}x${Math.round(box.h)} ${dim ? 1 : 0}${look.pick === key ? 1 : 0} ${strip} ${tick}`;
    const known = this.drawn.get(key);
    if (known && known.item === item && known.stamp === stamp) {
      if (known.box.x !== box.x || known.box.y !== box.y) move(known.el, box);
      known.box = box;
      return;
    }
    const el = known?.el ?? s("g", { "data-key": key, role: "button", tabindex: key === this.roving ? 0 : -1 });
    const { cls, inside } = PAINT[item.t](item, box, at, look.now);
    el.replaceChildren(...inside);
    el.setAttribute("class", `${cls}${dim ? " dim" : ""}${look.pick === key ? " picked" : ""}`);
    const words = explain(item, look.now);
    el.setAttribute("aria-label", `${words.who} ${words.says}`);
    move(el, box);
    if (!known) this.#enter(el, item);
    this.drawn.set(key, { el, item, stamp, box });
  }

  /** @param {SVGElement} el @param {Item} item */
  #enter(el, item) {
    const layer = { pod: "pods", node: "nodes", svc: "services" }[/** @type {string} */ (item.t)] ?? "parts";
    this.layers[layer].append(el);
    if (item.t !== "pod") return;
    el.classList.add("enter");
    requestAnimationFrame(() => requestAnimationFrame(() => el.classList.remove("enter")));
  }

  /** @param {string} key @param {{el: SVGElement, item: Item}} known */
  #leave(key, known) {
    this.drawn.delete(key);
    if (known.item.t !== "pod") return known.el.remove();
    known.el.classList.add("leave");
    known.el.removeAttribute("data-key");
    setTimeout(() => known.el.remove(), 260);
  }

  /** Lines from the Service under the pointer, or the picked one, to the pods behind it. @param {Items} items @param {Layout} at @param {any} look */
  #traffic(items, at, look) {
    const key = look.hover.startsWith("svc:") ? look.hover : look.pick.startsWith("svc:") ? look.pick : "";
    const svc = items.get(key), from = at.boxes.get(key);
    /** @type {string[]} */
    const lines = [];
    if (svc && from) {
      for (const uid of svc.pods) {
        const pod = items.get(`pod:${uid}`), to = at.boxes.get(`pod:${uid}`) ?? at.boxes.get(`node:${pod?.node}`);
        if (!to) continue;
        const x = to.x + to.w, y = to.y + to.h / 2, sy = from.y + from.h / 2, bend = Math.max(40, (from.x - x) * 0.45);
        lines.push(pathOf([from.x, sy, from.x - bend, sy, x + bend, y, x, y]));
      }
    }
    const d = [...new Set(lines)];
    const stamp = d.join(" ");
    if (stamp === this.trafficStamp) return;
    this.trafficStamp = stamp;
    const cls = d.length > 40 ? "traffic many" : "traffic";
    this.layers.traffic.replaceChildren(...d.map((path) => s("path", { d: path, class: cls })));
  }

  /** Make `key` the one element that the Tab key reaches. @param {string} key @param {boolean} [focus] */
  rove(key, focus = false) {
    this.drawn.get(this.roving)?.el.setAttribute("tabindex", "-1");
    this.roving = key;
    const el = this.drawn.get(key)?.el;
    el?.setAttribute("tabindex", "0");
    if (focus) el?.focus();
  }

  /** The nearest element in the direction of an arrow key. @param {string} from @param {string} arrow @returns {string|null} */
  neighbour(from, arrow) {
    const here = this.drawn.get(from)?.box;
    if (!here) return null;
    const cx = here.x + here.w / 2, cy = here.y + here.h / 2;
    const [dx, dy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[arrow] ?? [0, 0];
    let best = null, least = Infinity;
    for (const [key, { box, item }] of this.drawn) {
      if (key === from || (item.t === "node" && from.startsWith("pod:") && dx)) continue;
      const x = item.t === "node" ? box.x + 20 : box.x + box.w / 2, y = item.t === "node" ? box.y + 10 : box.y + box.h / 2;
      const ahead = (x - cx) * dx + (y - cy) * dy, aside = Math.abs((x - cx) * dy) + Math.abs((y - cy) * dx);
      if (ahead > 2 && ahead + 2.5 * aside < least) [best, least] = [key, ahead + 2.5 * aside];
    }
    return best;
  }
}

/** @param {SVGElement} el @param {Box} box */
function move(el, box) {
  el.style.transform = `translate(${box.x}px, ${box.y}px)`;
}

/** @type {Record<string, (item: Item, box: Box, at: Layout, now: number) => {cls: string, inside: SVGElement[]}>} */
const PAINT = {
  part(item, box) {
    const [title] = PARTS[item.name] ?? [item.title ?? item.name];
    const stopped = item.state === "stopped" || item.state === "restarting";
    const detail = stopped ? item.state : item.detail ?? "";
    const cls = stopped ? "stopped broken" : "";
    if (item.name === "apiserver") {
      const r = box.w / 2;
      return { cls: `hub ${cls}`, inside: [s("circle", { class: "face", cx: r, cy: r, r }),
        text(r, r - 2, "bold mid", title), text(r, r + 14, `quiet mid${stopped ? " bad" : ""}`, detail)] };
    }
    const low = box.h < 30, lamp = item.state ? [s("circle", { class: "lamp", cx: box.w - 9, cy: 9, r: 3 })] : [];
    return { cls: `card ${cls}`, inside: [s("rect", { class: "face", width: box.w, height: box.h, rx: low ? 13 : 10 }),
      text(box.w / 2, low ? 17 : 20, low ? "mid" : "bold mid", title),
      ...(low ? [] : [text(box.w / 2, 36, `quiet mid${stopped ? " bad" : ""}`, cut(detail, box.w - 8, 10))]), ...(low && !stopped ? [] : lamp)] };
  },
  node(item, box, at, now) {
    const lost = !item.ready, inside = [s("rect", { class: "face", width: box.w, height: box.h, rx: box.w < 90 ? 6 : 14 })];
    const since = item.lease || item.since;
    const state = lost ? `NotReady${since ? ` · ${ago(now - since)}` : ""}` : item.kubelet === "stopped" ? "kubelet stopped"
      : item.cordoned ? "cordoned" : box.w > 250 ? `Ready${item.runtime ? ` · ${item.runtime}` : ""}` : "";
    if (box.w >= 90) {
      const name = cut(item.name, box.w * (box.w > 250 ? 0.3 : 0.55), 12);
      const tone = lost || item.kubelet === "stopped" ? "quiet bad" : "quiet";
      inside.push(s("text", { x: 14, y: 21 }, s("tspan", { class: "bold" }, name), s("tspan", { class: tone, dx: 10 }, state)));
    }
    if (box.w > 290 && !lost) inside.push(...bar("cpu", item.cpu, box.w - 164), ...bar("mem", item.mem, box.w - 82));
    else if (box.w >= 90 && !lost) inside.push(...thinBars(item, box));
    if (at.mode === "strip") inside.push(...strip(at.counts.get(item.name) ?? {}, box));
    return { cls: lost || item.kubelet === "stopped" ? "node broken" : "node", inside };
  },
  pod(item, box) {
    const cls = `pod ${item.phase}${item.gone ? " gone" : ""}`, size = box.w;
    if (size < TILE) return { cls: `${cls} square`, inside: square(item, size) };
    const inside = [s("rect", { class: "face", width: size, height: size, rx: 9 })];
    if (item.gone) inside.push(s("path", { class: "hatch", d: "M4,16 L16,4 M4,27 L27,4 M8,34 L34,8 M20,34 L34,20" }));
    const sign = { failed: "✕", succeeded: "✓", pending: "…" }[/** @type {string} */ (item.phase)];
    if (sign) inside.push(text(size / 2, item.phase === "pending" ? 21 : 24, "sign", sign));
    else inside.push(...dots(item.containers, size));
    if (item.restarts) inside.push(s("circle", { class: "badge", cx: size - 2, cy: 2, r: 8 }),
      text(size - 2, 5.5, "small mid", item.restarts > 99 ? "99" : String(item.restarts)));
    inside.push(text(size / 2, size + 12, "small mid", tileName(item.short)));
    return { cls, inside };
  },
  svc(item, box) {
    const none = !item.pods.length, low = box.h < 40, ready = none ? "no endpoints" : `${item.pods.length} ready`;
    const face = s("rect", { class: "face", width: box.w, height: box.h, rx: low ? 8 : 10 });
    const state = `quiet end${none ? " bad" : ""}`;
    const name = cut(low || !SYSTEM.has(item.ns) ? item.name : `${item.name} · ${item.ns}`, box.w - (low ? 86 : 20), 12);
    if (low) return { cls: `card${none ? " broken" : ""}`, inside: [face, text(12, 19, "bold", name), text(box.w - 10, 19, state, ready)] };
    const head = item.ip === "None" ? "headless" : item.ip || item.type;
    return { cls: `card${none ? " broken" : ""}`, inside: [face, text(12, 22, "bold", name),
      text(12, 40, "quiet", cut(head, box.w - 92)), text(box.w - 10, 40, state, ready)] };
  },
};

/** @param {string} name @param {number} share @param {number} x */
const bar = (name, share, x) => [text(x + 23, 20, "quiet end", name), s("rect", { class: "bar", x: x + 27, y: 13, width: 42, height: 7, rx: 3.5 }),
  s("rect", { class: "fill", x: x + 27, y: 13, width: 42 * clamp(share, 0, 1), height: 7, rx: 3.5 })];

/** @param {Item} item @param {Box} box */
function thinBars(item, box) {
  const w = box.w - 28, y = 26;
  return [["cpu", 0], ["mem", w / 2 + 3]].flatMap(([name, x]) => [
    s("rect", { class: "bar", x: 14 + Number(x), y, width: w / 2 - 3, height: 2 }),
    s("rect", { class: "fill", x: 14 + Number(x), y, width: (w / 2 - 3) * clamp(item[name], 0, 1), height: 2 })]);
}

/** One dot per container; more than four are told by a number. @param {string[]} states @param {number} size */
function dots(states, size) {
  if (states.length > 4) return [text(size / 2, size / 2 + 4, "quiet mid", `${states.filter((c) => c === "ready").length}/${states.length}`)];
  const gap = states.length > 3 ? 8.5 : 11, r = states.length > 3 ? 3 : 4;
  return states.map((state, i) => s("circle", { class: `c-${state}`, cx: size / 2 + (i - (states.length - 1) / 2) * gap, cy: size / 2, r }));
}

/** @param {Item} item @param {number} size */
function square(item, size) {
  const rx = size > 18 ? 6 : size > 7 ? 3 : 1, a = size * 0.3, b = size * 0.7;
  const inside = [s("rect", { class: "face", x: 0.8, y: 0.8, width: size - 1.6, height: size - 1.6, rx })];
  if (item.phase === "failed") inside.push(s("path", { class: "mark", d: `M${a},${a} L${b},${b} M${a},${b} L${b},${a}` }));
  else if (item.phase === "succeeded" && size > 7) inside.push(s("path", { class: "mark", d: `M${a},${size / 2} L${size * 0.45},${b} L${b},${a}` }));
  else if (item.gone) inside.push(s("path", { class: "mark", d: `M${a},${b} L${b},${a}` }));
  return inside;
}

/** Many pods as shares of one bar, with their numbers. @param {Record<string, number>} count @param {Box} box */
function strip(count, box) {
  const total = Object.values(count).reduce((a, b) => a + b, 0) || 1, wide = box.w >= 90, y = wide ? 36 : box.h / 2 - 5;
  const w = box.w - (wide ? 28 : 10), out = [];
  let x = wide ? 14 : 5;
  for (const phase of ["ready", "unready", "pending", "failed", "succeeded"]) {
    if (!count[phase]) continue;
    out.push(s("rect", { class: `s-${phase}`, x, y, width: Math.max(2, (w * count[phase]) / total), height: wide ? 18 : 10 }));
    x += (w * count[phase]) / total;
  }
  const words = ["ready", "unready", "pending", "failed", "succeeded"].filter((p) => count[p]).map((p) => `${count[p]} ${p}`).join(" · ");
  if (wide && box.h > 70) out.push(text(14, 70, "quiet", cut(words, box.w - 28)));
  return out;
}

// ── message dots ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Dots that travel the spokes; nothing runs while there are none. */
class Dots {
  /** @param {Element} layer @param {Element} spokes */
  constructor(layer, spokes) {
    this.layer = layer;
    this.spokes = spokes;
    /** @type {{el: SVGElement, curve: Curve, back: boolean, from: number}[]} */
    this.flying = [];
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.frame = 0;
  }

  /** @param {[string, string, number][]} messages spoke, "in" | "out", count @param {Layout} at */
  send(messages, at) {
    const now = performance.now();
    for (const [name, way, count] of messages) {
      const spoke = at.spokes.has(name) ? name : at.trunk.get(name), curve = spoke && at.spokes.get(spoke);
      if (!curve) continue;
      if (this.still.matches) this.#flash(spoke);
      else for (let i = 0; i < Math.min(count, 4) && this.flying.length < 60; i++) {
        const el = s("circle", { class: "dot", r: 4 + Math.min(2, Math.log10(count)), cx: -20, cy: -20 });
        this.layer.append(el);
        this.flying.push({ el, curve, back: way === "in", from: now + i * 60 });
      }
    }
    if (this.flying.length && !this.frame) this.frame = requestAnimationFrame((t) => this.#fly(t));
  }

  /** @param {number} now */
  #fly(now) {
    this.flying = this.flying.filter((dot) => {
      const t = (now - dot.from) / 520;
      if (t >= 1) dot.el.remove();
      else if (t > 0) {
        const [x, y] = pointOn(dot.curve, dot.back ? 1 - t : t);
        dot.el.setAttribute("cx", x.toFixed(1));
        dot.el.setAttribute("cy", y.toFixed(1));
      }
      return t < 1;
    });
    this.frame = this.flying.length ? requestAnimationFrame((t) => this.#fly(t)) : 0;
  }

  /** @param {string} name */
  #flash(name) {
    const path = [...this.spokes.children].find((p) => p.getAttribute("data-spoke") === name);
    path?.classList.add("flash");
    setTimeout(() => path?.classList.remove("flash"), 250);
  }

  stop() {
    cancelAnimationFrame(this.frame);
  }
}

/** @param {Curve} c @param {number} t @returns {[number, number]} */
function pointOn(c, t) {
  const u = 1 - t, a = u * u * u, b = 3 * u * u * t, d = 3 * u * t * t, e = t * t * t;
  return [a * c[0] + b * c[2] + d * c[4] + e * c[6], a * c[1] + b * c[3] + d * c[5] + e * c[7]];
}

// ── wiring ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const ENDED = "The cluster has stopped; this is its last picture. Start another with Cluster().";

/** One view on a page. @param {{model: any, el: HTMLElement}} context @returns {() => void} its clean-up */
function render({ model, el }) {
  const id = Math.random().toString(36).slice(2);
  const live = /** @type {Items} */ (new Map()), memory = freshMemory();
  const look = { hover: "", pick: "", filter: "", now: 0 };
  const view = { seq: -1, ahead: 0, frame: 0, layout: /** @type {Layout|null} */ (null),
    at: /** @type {number|null} */ (null), memory }; // the revision that is shown, null for live; where its tiles stand
  /** @type {Map<number, {ok: (v: any) => void, bad: (e: Error) => void}>} */
  const asked = new Map();
  let serial = 0, ended = 0; // when the cluster stopped

  // the parts of the page
  const root = h("div", { class: "kl", role: "group", "aria-label": "Live view of the cluster" });
  const title = h("h3"), stats = h("span", { class: "stats" }), loud = h("span", { class: "loud" }), past = h("span", { class: "past" });
  const filter = /** @type {HTMLInputElement} */ (h("input", { type: "search", placeholder: "filter: web, app=web", "aria-label": "Filter pods and Services" }));
  const svg = s("svg", { role: "group", "aria-label": "Control plane, nodes with their pods, Services. Arrow keys move, Enter opens." });
  const words = h("div", { class: "kl-words" }), said = h("div", { class: "kl-hidden", "aria-live": "polite" });
  const gone = h("div", { class: "kl-gone", role: "status", hidden: "" });
  root.append(h("div", { class: "kl-head" }, title, stats, loud, past, filter), h("div", { class: "kl-stage" }, svg, gone), words);
  const stage = new Stage(svg), dots = new Dots(stage.layers.dots, stage.layers.spokes);
  const pictures = new Pictures(ask, soon);
  const time = new TimeBar(travel, step, showChange);
  const panel = new Panel(root, ask, () => pick(""));
  root.append(time.el, said);
  el.append(root);

  const now = () => ended || Date.now() / 1000 + view.ahead;
  const shown = () => (view.at === null ? live : then(view.at));

  /** The items as of a revision; one picture may be true for several, so the figure on etcd's card is set here. @param {number} at */
  function then(at) {
    const items = pictures.at(at)?.items;
    if (!items) return live;
    const etcd = items.get("part:etcd"), detail = `revision ${at}`;
    if (etcd && etcd.detail !== detail) items.set("part:etcd", { ...etcd, detail });
    return items;
  }

  const bounds = () => {
    const known = live.get("time") ?? {}, head = live.get("cluster")?.revision ?? 0, told = view.at !== null && pictures.told.get(view.at);
    return { oldest: Math.max(known.oldest ?? head, (told && told.oldest) || 1), newest: Math.max(known.newest ?? 0, head), why: known.why ?? "" };
  };

  /** Show the cluster as it was at a revision, null for as it is. @param {number|null} revision */
  function travel(revision) {
    if (view.at === null && revision !== null) view.memory = structuredClone(memory); // what lives then and now keeps its place
    view.at = revision;
    if (revision === null) pictures.leave();
    else pictures.want(revision);
    soon();
  }

  /** @param {"earlier"|"later"} way */
  async function step(way) {
    const from = view.at ?? bounds().newest + 1;
    try {
      const next = await pictures.neighbour(from, way);
      travel(next || (way === "later" ? null : from - 1 || null));
    } catch (error) {
      said.textContent = String(/** @type {any} */ (error).message ?? error);
    }
  }

  /** Open the side panel on what changed in an object at a revision. @param {any} of @param {number} revision */
  function showChange(of, revision) {
    const t = { Pod: "pod", Node: "node", Service: "svc" }[/** @type {string} */ (of.kind)];
    const found = t && [...shown()].find(([, item]) => item.t === t && item.name === of.name && (item.ns ?? "") === of.ns);
    const key = found ? found[0] : `obj:${of.kind}/${of.ns}/${of.name}`;
    look.pick = key;
    panel.open(key, found ? found[1] : { t: "obj", ...of }, view.layout?.height ?? 420, now(), view.at);
    panel.compare(revision - 1, revision);
    soon();
  }

  /** @param {Record<string, any>} request @returns {Promise<any>} */
  function ask(request) {
    if (ended) return Promise.reject(new Error(ENDED));
    const ticket = ++serial;
    model.send({ type: "ask", id: ticket, view: id, ...request });
    return new Promise((ok, bad) => asked.set(ticket, { ok, bad }));
  }

  function soon() {
    if (!view.frame) view.frame = requestAnimationFrame(drawNow);
  }

  function drawNow() {
    view.frame = 0;
    const items = shown();
    const told = view.at === null ? null : pictures.told.get(view.at) ?? null;
    look.now = told?.at || now();
    const at = (view.layout = layout(items, root.clientWidth - 32, view.at === null ? memory : view.memory));
    root.classList.toggle("past", view.at !== null);
    stage.draw(items, at, look);
    header(items);
    const late = pictures.error || (view.at !== null && !told && pictures.busy ? "asking the cluster …" : "");
    time.draw({ at: view.at, ...bounds(), now: now(), marks, told, late });
    forgotten(told);
    say(items);
    if (panel.key) follow(items, at.height);
  }

  /** Keep the side panel true to the moment that is shown. @param {Items} items @param {number} height */
  function follow(items, height) {
    if (view.at !== null && !pictures.find(view.at)) return;
    const item = panel.key.startsWith("obj:") ? panel.item : items.get(panel.key);
    if (!item && view.at === null) pick("");
    else if (!item) panel.absent(/** @type {number} */ (view.at));
    else if (item !== panel.item || view.at !== panel.at) panel.open(panel.key, item, height, look.now, view.at);
  }

  /** Say what cannot be shown any more, and where to go instead. @param {any} told */
  function forgotten(told) {
    const { oldest } = bounds(), lost = view.at !== null && (told?.gone || view.at < oldest);
    gone.hidden = !lost;
    if (!lost || gone.dataset.at === `${view.at} ${oldest}`) return;
    gone.dataset.at = `${view.at} ${oldest}`;
    const says = told?.gone || `Revision ${view.at} has been compacted: etcd has forgotten it. The oldest that can still be read is ${oldest}.`;
    gone.replaceChildren(h("p", {}, says), h("p", {}, button(`go to revision ${grouped(oldest)}`, () => travel(oldest)), " ", button("back to live", () => travel(null))));
  }

  /** @type {Item[]} */
  let marks = [];

  /** @param {Items} items */
  function header(items) {
    const count = { node: 0, pod: 0, failed: 0, lost: 0 };
    for (const item of items.values()) {
      if (item.t === "node") [count.node, count.lost] = [count.node + 1, count.lost + (item.ready ? 0 : 1)];
      if (item.t === "pod") [count.pod, count.failed] = [count.pod + 1, count.failed + (item.phase === "failed" ? 1 : 0)];
    }
    const head = items.get("cluster") ?? {};
    put(title, head.name ?? "");
    put(stats, `${plural(count.node, "node")} · ${plural(count.pod, "pod")} · revision ${grouped(view.at ?? bounds().newest)}`);
    put(loud, [count.lost && `${plural(count.lost, "node")} lost`, count.failed && `${plural(count.failed, "pod")} failing`].filter(Boolean).join(" · "));
    put(past, view.at === null ? ended ? "stopped: the last picture" : "" : look.now < now() - 1 ? `as it was ${ago(now() - look.now)} ago` : "as it was");
  }

  /** @param {Items} items */
  function say(items) {
    const item = items.get(look.hover) ?? items.get(look.pick);
    const told = item ? explain(item, look.now) : { who: "", says: "Point at anything to read what it is; click it, or press Enter, to open it." };
    if (words.dataset.said === told.who + told.says) return;
    words.dataset.said = told.who + told.says;
    words.replaceChildren(...(told.who ? [h("b", {}, told.who), " "] : []), told.says);
  }

  /** @param {string} key */
  function pick(key) {
    const before = look.pick;
    look.pick = key;
    const item = shown().get(key);
    if (item) {
      stage.rove(key);
      panel.open(key, item, view.layout?.height ?? 420, look.now, view.at);
    } else {
      const inside = panel.el.contains(document.activeElement);
      panel.close();
      if (before && inside) stage.rove(before, true);
    }
    soon();
  }

  /** @param {Event} event @returns {string} */
  const keyOf = (event) => /** @type {Element} */ (event.target).closest?.("[data-key]")?.getAttribute("data-key") ?? "";
  svg.addEventListener("pointerover", (event) => { look.hover = keyOf(event); soon(); });
  svg.addEventListener("pointerleave", () => { look.hover = ""; soon(); });
  svg.addEventListener("focusin", (event) => { look.hover = keyOf(event); soon(); });
  svg.addEventListener("click", (event) => { const key = keyOf(event); pick(key === look.pick ? "" : key); });
  svg.addEventListener("keydown", (event) => {
    const key = keyOf(event);
    if (event.key === "Enter" || event.key === " ") pick(key);
    else if (event.key.startsWith("Arrow")) {
      const next = stage.neighbour(key, event.key);
      if (next) stage.rove(next, true);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation(); // a notebook's own single-key commands stay out of the picture
    if (event.key === "Escape" && look.pick) pick("");
  });
  filter.addEventListener("input", () => { look.filter = filter.value.trim(); soon(); });

  /** @param {any} message */
  function receive(message) {
    if (message.type === "answer") {
      const waiting = asked.get(message.id);
      if (message.view !== id || !waiting) return;
      asked.delete(message.id);
      if (message.error) waiting.bad(new Error(message.error));
      else waiting.ok(message.data);
      return;
    }
    if (message.now && !ended) view.ahead = message.now - Date.now() / 1000;
    if (message.type === "model" || message.type === "ended") {
      const items = message.items;
      if (view.seq === message.seq) return;
      change({ set: items, del: [...live.keys()].filter((key) => !(key in items)) });
      view.seq = message.seq;
      if (message.type === "ended") end();
    } else if (message.type === "diff") {
      if (view.seq < 0 || message.seq <= view.seq) return;
      if (message.seq > view.seq + 1) return model.send({ type: "hello", view: id });
      view.seq = message.seq;
      change(message);
      if (view.at === null && view.layout && message.dots?.length) dots.send(message.dots, view.layout);
    }
  }

  /** Stand still: nobody answers any more, and of the past there is nobody to ask. */
  function end() {
    if (ended) return;
    ended = now();
    travel(null);
    time.el.remove();
    clearInterval(tick);
    for (const { bad } of asked.values()) bad(new Error(ENDED));
    asked.clear();
    said.textContent = ENDED;
    soon();
  }

  /** @param {Diff} diff */
  function change(diff) {
    const told = Object.values(diff.set).filter((item) => item.t === "mark");
    applyDiff(live, diff);
    if (told.length || diff.del.some((key) => key.startsWith("mark:"))) marks = sorted(live, "mark", (m) => `${m.rev} ${m.order}`);
    const broke = told.filter((m) => m.mood === "broke").map((m) => m.text).join(", ");
    if (broke) said.textContent = broke;
    soon();
  }

  const theme = () => { root.dataset.theme = themeOf(root); };
  const watchTheme = new MutationObserver(theme);
  for (const at of [document.documentElement, document.body])
    watchTheme.observe(at, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-jp-theme-name", "style"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", theme);
  const sized = new ResizeObserver(() => { theme(); soon(); }); // also when it comes into the page: only then is something behind it
  sized.observe(root);
  const tick = setInterval(() => { if (!document.hidden && root.isConnected) soon(); }, 1000);
  theme();
  model.on("msg:custom", receive);
  const saved = model.get("snapshot"); // what a notebook without a kernel shows
  if (saved?.items) change({ set: saved.items, del: [] });
  model.send({ type: "hello", view: id });

  return () => {
    model.send({ type: "bye", view: id });
    model.off("msg:custom", receive);
    for (const { bad } of asked.values()) bad(new Error("the view was closed"));
    watchTheme.disconnect();
    scheme.removeEventListener("change", theme);
    sized.disconnect();
    clearInterval(tick);
    cancelAnimationFrame(view.frame);
    dots.stop();
    root.remove();
  };
}

export default { render };
