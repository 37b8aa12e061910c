// @ts-check
/**
 * The live view of consensus: the network at the left, every member's log at the right, aligned by index.
 *
 *   kernel ─► picture ─► draw() ─► SVG and rows, keyed by member        buttons ─► {act, member | groups} ─► kernel
 *          ─► flights ─► fly() ─► dots that cross a line when a message really did; heartbeats small and pale
 *
 * Invariant: what stands on the page is a function of the picture and of what is picked; data is text, never markup.
 *
 * @typedef {{i: number, name: string, role: string, state: string, term: number, leader: string, vote: string,
 *   commit: number, applied: number, log: [number, number, string][]}} Member
 * @typedef {{members: Member[], groups: number[][], quorum: number, leader: string}} Picture
 */
import { button, clamp, h, put, s, themeOf } from "./dom.js";

const LEGEND = "Filled: committed. Dashed: not known here to be committed, and may still be lost. │ commit index   ▲ applied. Colours are terms.";
const NET = 320, MID = NET / 2, CELL_H = 26, TERMS = 5;
const SIGN = /** @type {Record<string, string>} */ ({ leader: "★", candidate: "?", "pre-candidate": "?", learner: "◌", follower: "" });
const LOOK = /** @type {Record<string, string>} */ ({ dead: "✕ dead", paused: "❚❚ paused", slow: "slow disk" });

/** @param {Picture} picture @param {Member} m @returns {string} what a member is, in two words, with its sign */
export function roleOf(picture, m) {
  if (LOOK[m.state]) return m.role === "leader" && m.state === "slow" ? "★ slow disk" : LOOK[m.state];
  if (picture.members.length === 1) return "one store";
  if (m.role === "leader" && m.name !== picture.leader) return "★ no quorum";
  return `${SIGN[m.role] ?? ""} ${m.role}`.trim();
}

/** @param {number} i @param {number} n @returns {{x: number, y: number}} where member i of n stands on the ring */
export function seat(i, n) {
  const turn = -Math.PI / 2 + (2 * Math.PI * i) / Math.max(1, n), r = n > 1 ? 108 : 0;
  return { x: MID + r * Math.cos(turn), y: MID + r * Math.sin(turn) };
}

/** @param {Picture} picture @param {number} a @param {number} b @returns {boolean} can a and b hear each other? */
export function reaches(picture, a, b) {
  const side = (/** @type {number} */ i) => picture.groups.findIndex((g) => g.includes(i));
  return !picture.groups.length || side(a) === side(b);
}

/** @param {Picture} picture @returns {{text: string, bad: boolean}} the state of the whole in one sentence */
export function sentenceOf(picture) {
  const n = picture.members.length, up = picture.members.filter((m) => m.state === "running" || m.state === "slow").length;
  if (n === 1) return { text: "One member: a single store without consensus. If it is lost, so is the cluster's memory.", bad: up < 1 };
  if (picture.leader) return { text: `${picture.leader} leads. An entry is committed when ${picture.quorum} of ${n} have it.`, bad: false };
  if (up < picture.quorum) return { text: `No quorum: ${up} of ${n} run, ${picture.quorum} are needed. Nothing can be written.`, bad: true };
  const alive = (/** @type {number[]} */ side) => side.filter((i) => ["running", "slow"].includes(picture.members[i]?.state)).length;
  if (picture.groups.length && !picture.groups.some((side) => alive(side) >= picture.quorum))
    return { text: `No side of the cut has ${picture.quorum} of ${n} members: nothing can be written.`, bad: true };
  return { text: "Nobody leads: writes wait until a majority has voted for one.", bad: true };
}

/** @param {Member[]} members @param {number} room cells @returns {[number, number]} the indexes shown, the same for all */
export function windowOf(members, room) {
  const all = members.flatMap((m) => m.log.map((e) => e[0])), last = Math.max(1, ...all);
  return [Math.max(Math.min(last, ...all), last - room + 1), last];
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el }) {
  const title = h("h3", {}, "etcd"), say = h("p", { class: "say", role: "status" });
  const net = s("svg", { viewBox: `0 0 ${NET} ${NET}`, role: "img" }), lines = s("g"), dots = s("g"), seats = s("g");
  const rows = h("div", { class: "rows" }), told = h("p", { class: "told", role: "status" }), latest = h("p", { class: "latest" }), legend = h("p", { class: "quiet" });
  /** @type {Map<number, {el: HTMLElement, head: HTMLElement, role: HTMLElement, facts: HTMLElement, log: SVGElement, buttons: HTMLButtonElement[]}>} */
  const kept = new Map();
  /** @type {Set<number>} members on the far side of the cut that is being drawn */
  const cut = new Set();
  let picked = "";
  const now = () => /** @type {Picture} */ (model.get("picture") ?? { members: [], groups: [], quorum: 1, leader: "" });
  const ask = (/** @type {any} */ m) => model.send(m);
  const part = /** @type {HTMLButtonElement} */ (button("partition", () => {
    const all = now().members.map((m) => m.i);
    ask({ act: "partition", groups: [all.filter((i) => !cut.has(i)), all.filter((i) => cut.has(i))] });
    cut.clear();
    draw();
  }));
  const heal = /** @type {HTMLButtonElement} */ (button("heal", () => ask({ act: "heal" })));
  const hint = h("span", { class: "quiet" });
  net.append(lines, dots, seats);
  const root = h("div", { class: "kc", "aria-label": "Consensus view" }, h("header", {}, title, say),
    h("div", { class: "body" }, h("div", { class: "net" }, net, h("div", { class: "tools" }, part, heal), hint), rows), latest, legend, told);
  el.append(root);
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  function draw() {
    const picture = now(), told_ = sentenceOf(picture);
    put(say, told_.text);
    say.className = told_.bad ? "say bad" : "say";
    drawNet(picture);
    for (const [i, row] of kept) if (!picture.members.some((m) => m.i === i)) { row.el.remove(); kept.delete(i); }
    picture.members.forEach((m) => drawRow(picture, m));
    part.disabled = !cut.size || cut.size === picture.members.length;
    heal.disabled = !picture.groups.length;
    const lead = picture.members.find((m) => m.name === picture.leader) ?? picture.members[0];
    const keys = (lead?.log ?? []).filter((e) => e[2] && e[0] <= lead.commit).slice(-3).map((e) => e[2]);
    put(latest, keys.length ? `Latest: ${keys.reverse().join("   ")}` : "");
    put(legend, picture.members.length < 2 ? "" : LEGEND);
    part.hidden = heal.hidden = picture.members.length < 2;
    put(hint, picture.members.length < 2 ? "" : cut.size ? "Picked members are cut off from the others." : "Click members to choose one side of a cut.");
  }

  /** @param {Picture} picture */
  function drawNet(picture) {
    const n = picture.members.length;
    net.setAttribute("aria-label", sentenceOf(picture).text);
    lines.replaceChildren(...picture.members.flatMap((a) => picture.members.filter((b) => b.i > a.i).map((b) => {
      const p = seat(a.i, n), q = seat(b.i, n), whole = reaches(picture, a.i, b.i) && a.state !== "dead" && b.state !== "dead";
      return s("line", { class: whole ? "line" : "line broken", x1: p.x, y1: p.y, x2: q.x, y2: q.y });
    })));
    const focused = document.activeElement?.getAttribute("data-seat");
    seats.replaceChildren(...picture.members.map((m) => {
      const at = seat(m.i, n), words = `${m.name}: ${roleOf(picture, m)}, term ${m.term}`;
      const g = s("g", { class: `seat ${m.role} ${m.state}${m.role === "leader" && m.state === "running" && picture.members.length > 1 && m.name !== picture.leader ? " alone" : ""}${cut.has(m.i) ? " cut" : ""}`, transform: `translate(${at.x},${at.y})`,
        tabindex: 0, role: "button", "aria-pressed": cut.has(m.i), "aria-label": words, "data-seat": m.i },
        s("title", {}, words), s("circle", { r: 40 }), s("text", { y: -4, class: "bold" }, m.name),
        s("text", { y: 12, class: "quiet" }, roleOf(picture, m).replace("pre-candidate", "asks around")));
      const toggle = () => { if (!cut.delete(m.i)) cut.add(m.i); draw(); };
      g.addEventListener("click", toggle);
      g.addEventListener("keydown", (event) => {
        const key = /** @type {KeyboardEvent} */ (event).key;
        if (key === "Enter" || key === " ") { event.preventDefault(); toggle(); }
      });
      return g;
    }));
    if (focused != null) /** @type {any} */ (seats.querySelector(`[data-seat="${focused}"]`))?.focus();
  }

  /** @param {number} i */
  function rowOf(i) {
    const found = kept.get(i);
    if (found) return found;
    const head = h("b"), role = h("span", { class: "role" }), facts = h("span", { class: "quiet" }), log = s("svg", { class: "log" });
    const state = () => now().members.find((m) => m.i === i)?.state ?? "dead";
    const buttons = /** @type {HTMLButtonElement[]} */ ([
      button("kill", () => ask({ act: state() === "dead" ? "restart" : "kill", member: i })),
      button("pause", () => ask({ act: state() === "paused" ? "resume" : "pause", member: i })),
      button("slow disk", () => ask({ act: state() === "slow" ? "fast" : "slow", member: i }))]);
    const row = { el: h("section", { class: "row", "data-member": i }, h("div", { class: "top" }, head, role, facts, h("span", { class: "acts" }, ...buttons))), head, role, facts, log, buttons };
    row.el.append(log);
    rows.append(row.el);
    kept.set(i, row);
    return row;
  }

  /** @param {Picture} picture @param {Member} m */
  function drawRow(picture, m) {
    const row = rowOf(m.i), [kill, pause, slow] = row.buttons, dead = m.state === "dead";
    row.el.dataset.state = m.state;
    put(row.head, m.name);
    put(row.role, roleOf(picture, m));
    row.role.className = `role ${dead ? "dead" : m.role}`;
    put(row.facts, picture.members.length < 2 ? `revision ${m.commit}` : `term ${m.term} · committed ${m.commit} · applied ${m.applied}${m.vote ? ` · voted for ${m.vote}` : ""}`);
    put(kill, dead ? "restart" : "kill");
    put(pause, m.state === "paused" ? "resume" : "pause");
    put(slow, m.state === "slow" ? "normal disk" : "slow disk");
    pause.disabled = slow.disabled = dead;
    pause.hidden = slow.hidden = picture.members.length < 2;
    for (const b of row.buttons) b.setAttribute("aria-label", `${b.textContent} ${m.name}`);
    const width = clamp(rows.clientWidth || 640, 280, 860) - 22, cell = 44, room = clamp(Math.floor(width / cell), 4, 14);
    const [first] = windowOf(picture.members, room), focus = /** @type {any} */ (document.activeElement)?.dataset?.entry;
    row.log.setAttribute("viewBox", `0 0 ${room * cell} ${CELL_H + 14}`);
    row.log.setAttribute("style", `width:${room * cell}px`);
    const x = (/** @type {number} */ index) => (index - first) * cell;
    row.log.replaceChildren(...m.log.filter((e) => e[0] >= first).map((e) => drawEntry(m, e, x(e[0]), cell)),
      ...[["commit", m.commit, "committed"], ["applied", m.applied, "applied"]].filter((t) => Number(t[1]) >= first).map((t) =>
        s("path", { class: String(t[0]), d: t[0] === "commit" ? `M${x(m.commit + 1) - 2},0 v${CELL_H}` : `M${x(m.applied + 1) - 24},${CELL_H + 11} l4,-7 l4,7 z` }, s("title", {}, `${t[2]} up to ${t[1]}`))));
    if (focus?.startsWith(`${m.i}:`)) /** @type {any} */ (row.log.querySelector(`[data-entry="${focus}"]`))?.focus();
  }

  /** @param {Member} m @param {[number, number, string]} entry @param {number} x @param {number} cell */
  function drawEntry(m, [index, term, key], x, cell) {
    const done = index <= m.commit, id = `${m.i}:${index}`;
    const words = `${term ? `entry ${index}, term ${term}` : `revision ${index}`}, ${key || "the leader's first entry"}: ${done ? "committed" : "not committed"}`;
    const g = s("g", { class: `entry t${term % TERMS} ${done ? "done" : "open"}${picked === id ? " picked" : ""}`, tabindex: 0, role: "button",
      "aria-label": `${m.name}: ${words}`, "data-entry": id, transform: `translate(${x},0)` },
      s("title", {}, words), s("rect", { x: 1.5, y: 1.5, width: cell - 6, height: CELL_H - 3, rx: 5 }),
      s("text", { x: cell / 2 - 1.5, y: term ? 12 : 17 }, String(index)), s("text", { x: cell / 2 - 1.5, y: 22, class: "t" }, term ? `t${term}` : ""));
    const open = () => { picked = id; put(told, `${m.name}, ${words}.`); draw(); };
    g.addEventListener("click", open);
    g.addEventListener("keydown", (event) => { if (/** @type {KeyboardEvent} */ (event).key === "Enter") open(); });
    return g;
  }

  /** @param {[string, string, string, number][]} flights */
  function fly(flights) {
    const picture = now(), { members } = picture, known = new Map(members.map((m) => [m.name, m]));
    if (still.matches || document.hidden) return;
    for (const [from, to, type, count] of flights) {
      const sender = known.get(from), target = known.get(to);
      if (!sender || !target) continue;
      const a = seat(sender.i, members.length), end = seat(target.i, members.length);
      const lost = !reaches(picture, sender.i, target.i) || target.state === "dead"; // it goes half the way and fades
      const b = lost ? { x: (a.x + end.x) / 2, y: (a.y + end.y) / 2 } : end;
      const beat = type.startsWith("heartbeat"), kind = beat ? "beat" : type.includes("vote") ? "vote" : type.startsWith("snapshot") ? "snap" : "append";
      const dot = s("g", { class: `dot ${kind}` }, s("title", {}, `${type} × ${count}${lost ? ", lost" : ""}`), s("circle", { r: beat ? 2.5 : 5 }),
        ...(beat || type.endsWith("response") ? [] : [s("text", { y: -8 }, type)]));
      dots.append(dot);
      const way = dot.animate([{ transform: `translate(${a.x}px,${a.y}px)` }, { transform: `translate(${b.x}px,${b.y}px)`, opacity: lost ? 0 : 1 }], { duration: 550, easing: "ease-in-out" });
      way.onfinish = () => dot.remove();
    }
  }

  const receive = (/** @type {any} */ message) => {
    if (message.type === "flights") fly(message.flights);
    else if (message.type === "said") put(told, message.text);
  };
  root.addEventListener("keydown", (event) => event.stopPropagation());
  const theme = () => { root.dataset.theme = themeOf(root); };
  const watch = new MutationObserver(theme), sized = new ResizeObserver(() => { theme(); draw(); }); // also when it comes into the page: only then is something behind it
  watch.observe(document.body, { attributes: true });
  theme();
  put(told, "Click an entry of a log to read what it writes.");
  draw();
  sized.observe(root);
  model.on("change:picture", draw);
  model.on("msg:custom", receive);
  return () => {
    model.off("change:picture", draw);
    model.off("msg:custom", receive);
    watch.disconnect();
    sized.disconnect();
    root.remove();
  };
}

export default { render };
