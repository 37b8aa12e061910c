// @ts-check
/**
 * What every view builds its page of: elements, small texts, the theme behind it.
 *
 * Invariant: data is written with textContent, never as markup.
 */

// ── elements ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const NS = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag @param {Record<string, any>} [attrs] @param {...(Element|string)} children
 * @returns {SVGElement}
 */
export function s(tag, attrs = {}, ...children) {
  const el = /** @type {SVGElement} */ (document.createElementNS(NS, tag));
  for (const name in attrs) el.setAttribute(name, String(attrs[name]));
  el.append(...children);
  return el;
}

/**
 * @param {string} tag @param {Record<string, any>} [attrs] @param {...(Element|string)} children
 * @returns {HTMLElement}
 */
export function h(tag, attrs = {}, ...children) {
  const el = document.createElement(tag);
  for (const name in attrs) el.setAttribute(name, String(attrs[name]));
  el.append(...children);
  return el;
}

/** @param {string} words @param {() => void} act */
export function button(words, act) {
  const el = h("button", { type: "button" }, words);
  el.addEventListener("click", act);
  return el;
}

/** @param {string} words */
export const pre = (words) => h("pre", {}, words);

/** @param {string[]} head @param {string[][]} rows @param {string} [none] @returns {HTMLElement} */
export function table(head, rows, none = "") {
  if (!rows.length) return h("p", { class: "note" }, none);
  const top = head.length ? [h("thead", {}, h("tr", {}, ...head.map((c) => h("th", { scope: "col" }, c))))] : [];
  return h("table", {}, ...top,
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((c) => h("td", c === "!" || c === "False" ? { class: "bad" } : {}, String(c ?? "")))))));
}

/** @param {HTMLElement} el @param {string} words */
export function put(el, words) {
  if (el.textContent !== words) el.textContent = words;
}

// ── small texts ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {number} v @param {number} lo @param {number} hi */
export const clamp = (v, lo, hi) => Math.min(Math.max(v, lo), hi);

/** @param {number} n @param {string} word */
export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** @param {number} s */
export const ago = (s) => (s < 90 ? `${Math.max(0, Math.round(s))} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`);

/** @param {number} at Unix seconds @returns {string} the time of day here */
export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

/** @param {number} n */
export const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// ── theme ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {HTMLElement} el @returns {"light"|"dark"} by what is behind the view, whatever drew it */
export function themeOf(el) {
  for (let at = /** @type {HTMLElement|null} */ (el.parentElement); at; at = at.parentElement) {
    const style = getComputedStyle(at), paper = style.getPropertyValue("--jp-layout-color1").trim() || style.backgroundColor;
    const probe = style.getPropertyValue("--jp-layout-color1").trim() ? tint(paper) : paper;
    const [r, g, b, a = 1] = (probe.match(/[\d.]+/g) ?? []).map(Number);
    if (b !== undefined && a > 0.5) return 0.3 * r + 0.6 * g + 0.1 * b < 128 ? "dark" : "light";
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** @param {string} colour any CSS colour @returns {string} rgb(...) */
function tint(colour) {
  const probe = h("span");
  probe.style.color = colour;
  document.body.append(probe);
  const rgb = getComputedStyle(probe).color;
  probe.remove();
  return rgb;
}
