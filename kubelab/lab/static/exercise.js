// @ts-check
/**
 * The buttons below a task. A click asks the kernel; its answer stands below until the next click.
 *
 * @typedef {{head?: string, lines?: [string, string, string][], code?: string}} Answer
 */

const CSS = `
.kl-ex { font-size: 13px; color: var(--jp-ui-font-color0, inherit); padding: 2px 0 6px; }
.kl-ex button { margin: 0 6px 6px 0; padding: 4px 12px; border: 1px solid var(--jp-border-color1, #bbb); border-radius: 13px;
  background: var(--jp-layout-color1, transparent); color: inherit; font: inherit; cursor: pointer; }
.kl-ex button.first { border-color: #326ce5; font-weight: 600; }
.kl-ex button:focus-visible { outline: 2px solid #326ce5; outline-offset: 1px; }
.kl-ex button[disabled] { opacity: .5; }
.kl-ex .head { font-weight: 600; margin: 4px 0; }
.kl-ex .line { margin: 3px 0; white-space: pre-line; }
.kl-ex .line b { display: inline-block; width: 1.4em; }
.kl-ex .good b { color: #009e73; }
.kl-ex .bad b { color: #d55e00; }
.kl-ex .todo { margin-left: 1.4em; opacity: .8; }
.kl-ex pre { padding: 8px 10px; overflow: auto; max-height: 360px; background: var(--jp-layout-color2, rgba(128, 128, 128, .12));
  font: 12px/1.45 var(--jp-code-font-family, ui-monospace, monospace); color: inherit; }`;

/**
 * @param {string} tag @param {string} cls @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
function h(tag, cls, ...children) {
  const el = document.createElement(tag);
  if (cls) el.className = cls;
  el.append(...children);
  return el;
}

/** @param {Answer} answer @returns {HTMLElement[]} */
export function draw(answer) {
  const out = answer.head ? [h("div", "head", answer.head)] : [];
  for (const [sign, text, todo] of answer.lines ?? []) {
    const line = h("div", `line ${sign === "✓" ? "good" : sign === "✗" ? "bad" : ""}`, ...(sign ? [h("b", "", sign)] : []), text);
    if (todo) line.append(h("div", "todo", `→ ${todo}`));
    out.push(line);
  }
  if (answer.code) out.push(h("pre", "", answer.code));
  return out;
}

/** @param {{model: any, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
  const answer = h("div", ""), row = h("div", "");
  answer.setAttribute("aria-live", "polite");
  /** @param {string} words @param {Record<string, any>} ask */
  const button = (words, ask) => {
    const b = h("button", row.childElementCount ? "" : "first", words);
    b.setAttribute("type", "button");
    b.addEventListener("click", () => {
      answer.replaceChildren(h("div", "line", "…"));
      model.send(ask);
    });
    row.append(b);
  };
  button("check", { ask: "check" });
  for (let n = 1; n <= model.get("hints"); n++) button(`hint ${n}`, { ask: "hint", number: n });
  button("solution", { ask: "solution" });
  const solved = h("span", "");
  const tell = () => { solved.textContent = model.get("solved") ? "✓ solved" : ""; };
  row.append(solved);
  const style = h("style", "", CSS);
  const root = h("div", "kl-ex", style, row, answer);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", model.get("title"));
  el.append(root);
  /** @param {Answer} message */
  const heard = (message) => answer.replaceChildren(...draw(message));
  model.on("msg:custom", heard);
  model.on("change:solved", tell);
  tell();
  return () => {
    model.off("msg:custom", heard);
    model.off("change:solved", tell);
    root.remove();
  };
}

export default { render };
