"use strict";
// What the views are made of. Everything shown goes through textContent: data is never markup.

// Control characters and marks of writing direction, which hide what is written.
const HIDING = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const shown = (text) => String(text).replace(HIDING, "\ufffd");

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) {
    made.append(child instanceof Node ? child : document.createTextNode(shown(child)));
  }
  return made;
}
function button(label, action, attributes) {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", action);
  return made;
}
// A way to a view: "#/session/NAME?first=0".
const way = (view, name, query) => "#/" + view +
  (name === undefined ? "" : "/" + encodeURIComponent(name)) +
  (query ? "?" + new URLSearchParams(query) : "");
const link = (label, view, name, query) =>
  element("a", { href: way(view, name, query) }, label);

const count = (number) => Number(number).toLocaleString("en");
function bytes(number) {
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (number < 1024) break;
    number /= 1024;
    unit = next;
  }
  return (unit === "B" ? number : number.toFixed(1)) + " " + unit;
}
const percent = (share) => (100 * share).toFixed(share < 0.1 ? 1 : 0) + " %";
const seconds = (number) => number.toFixed(number < 10 ? 2 : 0) + " s";

// Rows of cells: texts, or { number } to the right, or elements.
function table(caption, heads, rows) {
  const made = element("table", {}, element("caption", { class: "note" }, caption),
    element("thead", {}, element("tr", {}, ...heads.map((head) =>
      element("th", { scope: "col" }, head)))));
  made.append(element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) =>
    cell !== null && typeof cell === "object" && !(cell instanceof Node)
      ? element("td", { class: "number" }, cell.number)
      : element("td", {}, cell))))));
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption },
    made);
}
function facts(pairs) {
  const made = element("dl");
  for (const [term, what] of pairs) made.append(element("dt", {}, term), element("dd", {}, what));
  return made;
}

const status = (text) => { document.getElementById("status").textContent = shown(text); };

// A document of this server. Relative: the token is in the page's own address.
async function fetched(path, options) {
  const answer = await fetch(path, { cache: "no-store", ...options });
  if (answer.ok) return answer;
  let message = answer.status + " " + answer.statusText;
  try { message = (await answer.json()).error.message; } catch { /* it was no document */ }
  throw new Error(message);
}
const get = async (path, query) =>
  (await fetched(query ? path + "?" + new URLSearchParams(query) : path)).json();

// A map with what textHeat wants around it; `labels` are those of its series.
function heatSection(title, scale, data, labels) {
  const buttons = element("div", { class: "series", role: "group",
                                   "aria-label": "What the map shows" });
  labels.forEach((label, index) => buttons.append(element("button",
    { type: "button", "data-series": index, "aria-pressed": index === 0 }, label)));
  const section = element("section", { "aria-label": title }, element("h2", {}, title),
    element("p", { class: "note" }, "Blocks of the text from left to right, layers from 0 at the " +
      "top to " + (data.layers - 1) + " at the bottom; the stronger a place, " + scale +
      ". Point at a place, or focus the map and use the arrow keys."),
    buttons,
    element("canvas", { id: "map", tabindex: "0", role: "application", "aria-describedby": "place",
                        "aria-label": "Map of " + data.blocks + " blocks and " + data.layers +
                                      " layers; arrow keys move" }),
    element("div", { class: "scale", "aria-hidden": "true" }, element("span", {}, "token 0"),
      element("span", { id: "last" })),
    element("div", { id: "place", class: "passage", "aria-live": "polite" }));
  return section;
}
