// @ts-check
/**
 * Time travel: a slider over etcd's revisions, and the pictures of the past that it asks for.
 *
 *   slider, arrow keys, marks ─► seek(revision) ─► Pictures.want ─► {type: "ask", what: "past", revision} ─► kernel
 *                                                       └─► items as of that revision, kept while there is room
 *
 * Invariant: one question is out at a time and the last wish wins, so dragging never queues up; a picture is shown for
 * the stretch of revisions that the kernel says it is true for, and for no other.
 *
 * @typedef {Record<string, any>} Item
 * @typedef {Map<string, Item>} Items
 * @typedef {{first: number, last: number, items: Items}} Picture
 * @typedef {{revision: number, at: number, words: string, mood: string, of: any, earlier: number, later: number,
 *   gone?: string, oldest: number, newest: number}} Told
 * @typedef {{at: number|null, oldest: number, newest: number, why: string, now: number, marks: Item[], told: Told|null, late: string}} Moment
 */
import { ago, button, clamp, clock, grouped, h, put } from "./dom.js";

const KEPT = 48, TOLD = 400;

/** Pictures of the past: fetched when wanted, one question at a time, the last wish first. */
export class Pictures {
  /** @param {(request: Record<string, any>) => Promise<any>} ask @param {() => void} changed */
  constructor(ask, changed) {
    this.ask = ask;
    this.changed = changed;
    /** @type {Picture[]} the one used last stands last */
    this.kept = [];
    /** @type {Map<number, Told>} */
    this.told = new Map();
    /** @type {Map<string, {text: string, item: Item}>} equal items are one item, so that drawing them again costs nothing */
    this.interned = new Map();
    /** @type {number|null} */
    this.wanted = null;
    this.busy = false;
    this.error = "";
    /** @type {Picture|null} */
    this.shown = null;
  }

  /** @param {number} revision @returns {Picture|undefined} */
  find(revision) {
    return this.kept.find((picture) => picture.first <= revision && revision <= picture.last);
  }

  /** What to draw for a revision: its picture, or until it is there the one that was drawn. @param {number} revision */
  at(revision) {
    const found = this.find(revision);
    if (found) {
      this.shown = found;
      this.kept.splice(this.kept.indexOf(found), 1);
      this.kept.push(found);
    }
    return this.shown;
  }

  /** @param {number} revision */
  want(revision) {
    this.wanted = revision;
    this.error = "";
    this.#next();
  }

  leave() {
    this.wanted = null;
    this.shown = null;
    this.error = "";
  }

  /** The change before or after a revision, 0 for none; asked anew, for there may be later ones by now. @param {number} revision @param {"earlier"|"later"} way */
  async neighbour(revision, way) {
    return Number((await this.ask({ what: "past", revision, have: true }))[way] ?? 0);
  }

  async #next() {
    const revision = this.wanted;
    if (this.busy || revision === null || (this.find(revision) && this.told.has(revision))) return;
    this.busy = true;
    try {
      this.#take(revision, await this.ask({ what: "past", revision, have: Boolean(this.find(revision)) }));
    } catch (error) {
      if (this.wanted === revision) [this.wanted, this.error] = [null, String(/** @type {any} */ (error).message ?? error)];
    }
    this.busy = false;
    this.changed();
    this.#next();
  }

  /** @param {number} revision @param {any} answer */
  #take(revision, answer) {
    if (this.told.size >= TOLD) this.told.clear();
    this.told.set(revision, answer);
    if (answer.gone) {
      if (this.wanted === revision) this.wanted = null;
      return;
    }
    if (this.find(revision)) return;
    const items = new Map(Object.entries(answer.items ?? {}).map(([key, item]) => [key, this.#intern(key, item)]));
    this.kept.push({ first: answer.first ?? revision, last: answer.last ?? revision, items });
    if (this.kept.length > KEPT) this.kept.shift();
  }

  /** @param {string} key @param {Item} item */
  #intern(key, item) {
    const text = JSON.stringify(item), known = this.interned.get(key);
    if (known?.text === text) return known.item;
    this.interned.set(key, { text, item });
    return item;
  }
}

/** A slider from the oldest revision that etcd still has to the newest, with marks; its right end is live. */
export class TimeBar {
  /**
   * @param {(revision: number|null) => void} seek null for live
   * @param {(way: "earlier"|"later") => void} step to the change before or after
   * @param {(of: any, revision: number) => void} show what changed in an object at a revision
   */
  constructor(seek, step, show) {
    this.seek = seek;
    this.show = show;
    this.track = h("div", { class: "track" });
    this.marks = h("div");
    this.slider = /** @type {HTMLInputElement} */ (h("input", { type: "range", min: 1, max: 2, value: 2, step: 1,
      "aria-label": "Revision: the right end is live. Arrow keys step one revision, with Shift one change." }));
    this.slider.addEventListener("input", () => this.#go(Number(this.slider.value)));
    this.slider.addEventListener("keydown", (event) => {
      if (!event.shiftKey || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      event.preventDefault();
      step(event.key === "ArrowLeft" ? "earlier" : "later");
    });
    this.live = button("live", () => this.seek(null));
    this.live.className = "live";
    this.back = button("‹", () => step("earlier"));
    this.forth = button("›", () => step("later"));
    this.back.title = "the change before (Shift ←)";
    this.forth.title = "the next change (Shift →)";
    this.back.setAttribute("aria-label", "To the change before");
    this.forth.setAttribute("aria-label", "To the next change");
    this.words = h("span", { class: "told" });
    this.what = button("what changed", () => { if (this.moment?.told?.of) this.show(this.moment.told.of, this.moment.told.revision); });
    this.what.className = "what";
    this.track.append(this.marks, this.slider);
    this.el = h("div", { class: "kl-time" }, h("span", { class: "title" }, "Time"), this.track, this.live,
      h("div", { class: "readout" }, this.back, this.forth, this.words, this.what));
    this.stamp = "";
  }

  /** @param {number} value */
  #go(value) {
    this.seek(value >= Number(this.slider.max) ? null : value);
  }

  /** @param {Moment} moment */
  draw(moment) {
    this.moment = moment;
    const { at, oldest } = moment, newest = Math.max(moment.newest, oldest + 1), value = at ?? newest;
    this.slider.min = String(oldest);
    this.slider.max = String(newest);
    if (Number(this.slider.value) !== value) this.slider.value = String(value);
    const share = clamp((value - oldest) / (newest - oldest), 0, 1);
    this.slider.style.setProperty("--at", `${share * 100}%`);
    put(this.live, at === null ? "live" : "back to live");
    this.#tell(moment);
    this.#mark(moment, oldest, newest);
  }

  /** @param {Moment} moment */
  #tell({ at, oldest, newest, now, told, late }) {
    const past = at !== null, when = told?.at ? `${clock(told.at)} · ${ago(now - told.at)} ago` : "";
    const what = late || (past && (told?.gone || at < oldest) ? "compacted" : told ? told.words || "nothing that is drawn here changed" : "");
    const head = past ? `revision ${grouped(at)}` : `revision ${grouped(newest)}`;
    const rest = past ? [when, what].filter(Boolean).join(" · ") : "live · drag the handle left to see the cluster as it was";
    if (this.words.dataset.said !== head + rest) {
      this.words.dataset.said = head + rest;
      this.words.replaceChildren(h("b", {}, head), " ", rest);
      this.words.title = past ? what : "";
      this.slider.setAttribute("aria-valuetext", past ? `${head} ${rest}` : "live");
    }
    this.words.classList.toggle("broke", past && told?.mood === "broke");
    this.what.hidden = !past || !told?.of;
    /** @type {HTMLButtonElement} */ (this.forth).disabled = !past;
  }

  /** @param {Moment} moment @param {number} oldest @param {number} newest */
  #mark({ marks, why }, oldest, newest) {
    const width = this.track.clientWidth || 600, place = (/** @type {number} */ rev) => ((rev - oldest) / (newest - oldest)) * width;
    const groups = near(marks.filter((mark) => mark.rev >= oldest), (mark) => place(mark.rev));
    const first = oldest > 1 ? `${why} ${grouped(oldest)}` : "";
    const stamp = JSON.stringify([width, first, groups.map(({ x, marks: all }) => [Math.round(x), all.length, all[0].order])]);
    if (stamp === this.stamp) return; // what is under the pointer must not be replaced without need
    this.stamp = stamp;
    let edge = width + 90; // labels are laid out from the newest: what was just done is always named
    const drawn = groups.reverse().map(({ x, marks: all }) => {
      const names = [...new Set(all.map((mark) => mark.text))], room = Math.min(edge - x, first && x < first.length * 5.8 + 14 ? 0 : Infinity);
      const words = [2, 1].map((n) => names.slice(0, n).join(", ") + (names.length > n ? ` +${names.length - n}` : "")).find((w) => w.length * 5.8 + 10 <= room);
      const el = h("div", { class: `mark ${all.some((mark) => mark.mood === "broke") ? "broke" : ""}` });
      el.style.left = `${x.toFixed(1)}px`;
      if (!words) return el;
      const last = all[all.length - 1], name = button(words, () => { this.seek(last.rev); if (last.of) this.show(last.of, last.rev); });
      name.title = `${names.join(", ")}: go to revision ${last.rev}`;
      name.tabIndex = -1; // Shift and arrows reach it from the slider
      el.append(name);
      edge = x;
      return el;
    });
    this.marks.replaceChildren(...(first ? [h("span", { class: "first" }, first)] : []), ...drawn);
  }
}

/** Marks that stand on one another become one. @param {Item[]} marks @param {(mark: Item) => number} place */
function near(marks, place) {
  /** @type {{x: number, marks: Item[]}[]} */
  const groups = [];
  for (const mark of marks) {
    const x = place(mark), last = groups[groups.length - 1];
    if (last && x - last.x < 8) last.marks.push(mark);
    else groups.push({ x, marks: [mark] });
  }
  return groups;
}
