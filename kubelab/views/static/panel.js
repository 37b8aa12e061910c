// @ts-check
/**
 * The side panel: what is known of the picked thing, a page at a time, as of the moment that the picture shows.
 *
 *   pick ─► open(key, item, at) ─► {type: "ask", what: "object" | "diff" | "events" | "logs" | ..., revision} ─► page
 *
 * Invariant: a page is asked for when it is opened and nothing of it is kept; an answer that comes late is dropped.
 *
 * @typedef {Record<string, any>} Item
 * @typedef {{kind: string, ns: string, name: string}} Of     names an object, drawn or not
 */
import { button, clock, grouped, h, pre, put, table } from "./dom.js";
import { explain } from "./words.js";

const KINDS = { pod: "Pod", node: "Node", svc: "Service" };
/** @type {Record<string, string[]>} pages of a thing by what it is */
const PAGES = { pod: ["about", "diff", "events", "logs", "yaml"], node: ["about", "diff", "events", "kubelet", "yaml"],
  svc: ["about", "diff", "events", "yaml"], obj: ["diff", "about", "events", "yaml"], part: ["about", "source"] };
const NOW_ONLY = new Set(["logs", "kubelet"]); // not kept in etcd

export class Panel {
  /** @param {HTMLElement} root @param {(ask: Record<string, any>) => Promise<any>} ask @param {() => void} onClose */
  constructor(root, ask, onClose) {
    this.ask = ask;
    this.key = "";
    /** @type {number|null} the revision that is shown, null for now */
    this.at = null;
    /** @type {{from: number, to: number}} what the diff page compares, 0 for what suggests itself */
    this.range = { from: 0, to: 0 };
    this.title = h("b");
    this.when = h("span", { class: "when" });
    this.tabs = h("div", { class: "tabs", role: "tablist" });
    this.page = h("div", { class: "page", role: "tabpanel", tabindex: "0" });
    const close = button("close", onClose);
    this.el = h("aside", { class: "kl-side", hidden: "", "aria-label": "Details" }, h("header", {}, this.title, this.when, close), this.tabs, this.page);
    this.el.style.display = "none";
    root.append(this.el);
  }

  /** @param {string} key @param {Item} item @param {number} height @param {number} now @param {number|null} at */
  open(key, item, height, now, at) {
    if (this.key !== key) this.tab = "";
    if (this.key !== key || this.at !== at) this.range = { from: 0, to: 0 };
    Object.assign(this, { key, item, at });
    this.el.style.display = "";
    this.el.removeAttribute("hidden");
    this.el.style.height = `${Math.max(300, height)}px`;
    put(this.title, item.t === "obj" ? `${item.kind} ${item.name}` : explain(item, now).who);
    put(this.when, at === null ? "" : `at revision ${grouped(at)}`);
    const names = PAGES[item.t].filter((name) => at === null || !NOW_ONLY.has(name));
    this.tabs.replaceChildren(...names.map((name) => {
      const tab = button(name, () => this.show(name));
      tab.setAttribute("role", "tab");
      tab.dataset.name = name;
      return tab;
    }));
    this.show(names.includes(this.tab ?? "") ? /** @type {string} */ (this.tab) : names[0]);
  }

  /** Show what changed in a thing. @param {number} from @param {number} to */
  compare(from, to) {
    this.range = { from, to };
    this.show("diff");
  }

  /** Say that the picked thing was not there. @param {number} at */
  absent(at) {
    if (this.at === at && !this.item) return;
    Object.assign(this, { at, item: undefined, turn: (this.turn ?? 0) + 1 });
    put(this.when, `at revision ${grouped(at)}`);
    this.page.replaceChildren(h("p", { class: "note" }, "It was not there at this revision."));
    this.shownTab = "";
  }

  close() {
    this.key = "";
    this.at = null;
    this.el.style.display = "none";
    this.el.setAttribute("hidden", "");
  }

  /** @param {string} name */
  async show(name) {
    if (!this.item) return;
    this.tab = name;
    for (const tab of this.tabs.children) tab.setAttribute("aria-selected", String(/** @type {HTMLElement} */ (tab).dataset.name === name));
    const key = this.key, turn = (this.turn = (this.turn ?? 0) + 1);
    if (!this.page.childElementCount || this.shownTab !== key + name) this.page.replaceChildren(h("p", { class: "note" }, "asking the cluster …"));
    this.shownTab = key + name;
    /** @type {(Element|string)[]} */
    let content;
    try {
      content = await this.#content(name, key);
    } catch (error) {
      content = [h("p", { class: "note" }, String(/** @type {any} */ (error).message ?? error))];
    }
    if (this.key === key && this.turn === turn) this.page.replaceChildren(...content);
  }

  /** @returns {Of|null} */
  get #of() {
    const item = /** @type {Item} */ (this.item), kind = item.t === "obj" ? item.kind : KINDS[/** @type {"pod"} */ (item.t)];
    return kind ? { kind, ns: item.ns ?? "", name: item.name } : null;
  }

  /** @param {string} name @param {string} key @returns {Promise<(Element|string)[]>} */
  async #content(name, key) {
    const item = /** @type {Item} */ (this.item), question = { key, of: this.#of, revision: this.at ?? 0 };
    if (name === "yaml") return [pre((await this.ask({ what: "object", ...question })).yaml)];
    if (name === "diff") return this.#diff(await this.ask({ what: "diff", ...question, from: this.range.from || this.at || 0, to: this.range.to }));
    if (name === "source") return this.#source(await this.ask({ what: "source", key }));
    if (name === "kubelet") return this.#part(`part:kubelet/${item.name}`, { state: item.kubelet ?? "" });
    if (name === "events") return [table(["", "reason", "message", "seen"], (await this.ask({ what: "events", ...question })).map((/** @type {any} */ e) =>
      [e.type === "Warning" ? "!" : "", e.reason, e.message, e.count > 1 ? `${e.count}× · ${e.age}` : e.age]), "No events.")];
    if (name === "logs") return this.#logs(question, item);
    if (item.t === "part") return this.#part(key, item);
    const facts = await this.ask({ what: "object", ...question });
    const words = item.t === "obj" ? "" : explain(item, facts.now ?? 0).says;
    return [h("p", {}, words), table([], facts.facts ?? []),
      table(["condition", "", "why"], (facts.conditions ?? []).map((/** @type {any} */ c) => [c.type, c.status, [c.reason, c.message].filter(Boolean).join(": ")]), "")];
  }

  /** @param {any} found the answer: from, to (0: now), lines, summary, there, changes */
  #diff(found) {
    const from = found.from ?? 0, to = found.to ?? 0;
    const known = new Map((found.changes ?? []).map((/** @type {[number, number, string]} */ [rev, at, says]) => [rev, `${clock(at)} ${says}`]));
    for (const [rev, says] of [[this.at, "shown"], [from, "just before"], [to, ""]])
      if (rev && !known.has(rev)) known.set(rev, String(says));
    const revisions = [...known.keys()].sort((a, b) => b - a);
    const choose = (/** @type {string} */ label, /** @type {number} */ chosen, /** @type {number[]} */ all, /** @type {(rev: number) => void} */ take) => {
      const select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": label }, ...all.map((rev) =>
        h("option", { value: rev, ...(rev === chosen ? { selected: "" } : {}) }, rev ? `${grouped(rev)}  ${known.get(rev)}` : "now"))));
      select.addEventListener("change", () => take(Number(select.value)));
      return h("label", {}, h("span", {}, label), select);
    };
    const pick = h("div", { class: "range" },
      choose("from revision", from, revisions, (rev) => this.compare(rev, to)),
      choose("to revision", to, [0, ...revisions], (rev) => this.compare(from, rev)));
    const [was, is] = found.there ?? [true, true];
    const note = !was && !is ? "It was there at neither." : !was ? `It was not there yet at revision ${grouped(from)}.` :
      !is ? `It is gone ${to ? `at revision ${grouped(to)}` : "now"}.` : "";
    const signs = /** @type {Record<string, string>} */ ({ "+": "add", "-": "cut", "…": "skip" });
    const lines = (found.lines ?? []).map((/** @type {[string, string]} */ [sign, text]) =>
      h("div", { class: signs[sign] ?? "" }, h("span", { class: "sign" }, sign === "-" ? "−" : sign), text));
    return [pick, h("p", { class: "sum" }, [note, found.lines?.length ? found.summary : "No difference."].filter(Boolean).join(" ")),
      h("pre", { class: "diff" }, ...lines)];
  }

  /** @param {Record<string, any>} question @param {Item} item */
  async #logs(question, item) {
    const names = item.names ?? [], chosen = names.includes(this.container) ? this.container : names[0];
    const picks = names.length > 1 ? [h("p", {}, ...names.map((/** @type {string} */ name) => {
      const b = button(name, () => { this.container = name; this.show("logs"); });
      b.setAttribute("aria-selected", String(name === chosen));
      return b;
    }))] : [];
    const lines = await this.ask({ what: "logs", ...question, container: chosen });
    const out = pre(lines || "It has printed nothing.");
    out.classList.add("wrap");
    return [...picks, out, h("p", {}, button("again", () => this.show("logs")))];
  }

  /** @param {string} key @param {Item} item @returns {Promise<(Element|string)[]>} */
  async #part(key, item) {
    const words = explain(item.t === "part" ? item : { t: "part", name: "kubelet", title: "kubelet" }, 0);
    if (this.at !== null) return [h("p", {}, words.says), h("p", { class: "note" }, "Whether a component ran is not kept in etcd: go back to live to see it, stop it or start it.")];
    const card = await this.ask({ what: "part", key });
    const doing = (/** @type {string} */ act) => button(act, async () => { await this.ask({ what: "do", act, key }); this.show(/** @type {string} */ (this.tab)); });
    const acts = card.can?.length ? [h("p", {}, ...card.can.map(doing))] : [h("p", { class: "note" }, "It runs outside of this notebook: it is shown, not held.")];
    const rows = (card.loops ?? []).map((/** @type {any} */ l) => [l.name, l.state, l.detail]);
    return [h("p", {}, words.says), ...acts, table([], card.facts ?? []), ...(rows.length ? [table(["loop", "state", "queue"], rows)] : [])];
  }

  /** @param {{file: string, text: string, replace?: string}} source */
  #source(source) {
    return [h("p", { class: "note" }, source.file), ...(source.replace ? [h("p", {}, h("code", {}, source.replace))] : []), pre(source.text)];
  }
}
