"use strict";
// The map of a text: blocks from left to right, layers from top to bottom, read with a mouse or
// with arrow keys. `root` has its parts, as HeatSection makes them; `data` is that of HeatJson, and
// may have `textOf`: a promise of the text of a block that `passages` has without.
// Everything shown goes through textContent: data is never markup.
const textHeat = (root, data) => {
  const map = root.querySelector("#map");
  const place = root.querySelector("#place");
  const buttons = [...root.querySelectorAll("button[data-series]")];
  const tokens = data.passages[data.blocks - 1];
  const last = Object.values(data.passages).reduce((most, p) => Math.max(most, p[1]), 0);
  const perBlock = Object.entries(data.passages).map(([b, p]) => b > 0 ? p[0] / b : 0)
    .find((size) => size > 0) || 0;
  root.querySelector("#last").textContent =
    "token " + Math.max(last, tokens ? tokens[1] : 0, Math.round(data.blocks * perBlock) - 1);
  let series = 0, columns = 1, cursor = { column: -1, layer: 0 };
  let cells = new Map(), most = 1;

  const lay = () => {
    columns = Math.max(1, Math.min(data.blocks, Math.floor(map.clientWidth / 4)));
    cells = new Map();
    most = 0;
    for (const [block, layer, value] of data.series[series] || []) {
      const column = Math.min(columns - 1, Math.floor(block * columns / data.blocks));
      const key = layer * columns + column, before = cells.get(key);
      if (!before || before.value < value) cells.set(key, { block, value });
      most = Math.max(most, value);
    }
  };
  const draw = () => {
    const ratio = window.devicePixelRatio || 1;
    map.width = Math.max(1, Math.round(map.clientWidth * ratio));
    map.height = Math.max(1, Math.round(map.clientHeight * ratio));
    const style = getComputedStyle(document.documentElement);
    const color = style.getPropertyValue("--heat").trim();
    const pen = map.getContext("2d");
    const wide = map.width / columns, high = map.height / data.layers;
    for (const [key, cell] of cells) {
      const strength = most > 0 ? Math.sqrt(cell.value / most) : 0;
      pen.fillStyle = "rgba(" + color + "," + strength.toFixed(3) + ")";
      pen.fillRect((key % columns) * wide, Math.floor(key / columns) * high,
                   Math.max(wide, ratio), Math.max(high - 1, 1));
    }
    if (cursor.column < 0) return;
    pen.strokeStyle = style.getPropertyValue("--mark").trim();
    pen.lineWidth = 2 * ratio;
    pen.strokeRect(cursor.column * wide, cursor.layer * high, Math.max(wide, 2 * ratio), high);
  };
  const amount = (value) => !data.percent ? String(value)
    : (100 * value).toFixed(value < 0.1 ? 1 : 0) + " %";
  const describe = () => {
    const cell = cells.get(cursor.layer * columns + cursor.column);
    let block = cell ? cell.block : -1;
    for (let layer = 0; block < 0 && layer < data.layers; ++layer) {
      const other = cells.get(layer * columns + cursor.column);
      if (other) block = other.block;
    }
    const title = document.createElement("b");
    const text = document.createElement("span");
    const passage = data.passages[block];
    title.textContent = "layer " + cursor.layer + (passage
      ? ", block " + block + ", tokens " + passage[0] + " to " + passage[1] + ": " +
        (cell ? amount(cell.value) : "no") + " " + data.what
      : ": nothing was read here");
    text.textContent = passage ? passage[2].trim() : "";
    place.replaceChildren(title, text);
    if (!passage || passage[2] || !data.textOf) return;
    data.textOf(block).then((found) => {
      passage[2] = found;
      if (text.isConnected) text.textContent = found.trim();
    }, () => {});  // a text that cannot be had is left out
  };
  const go = (column, layer) => {
    cursor = { column: Math.max(0, Math.min(columns - 1, column)),
               layer: Math.max(0, Math.min(data.layers - 1, layer)) };
    draw();
    describe();
  };
  const goBlock = (block, layer) =>
    go(Math.floor(block * columns / data.blocks), layer);
  const strongest = () => {
    let best = null, where = 0;
    for (const [key, cell] of cells) {
      if (!best || cell.value > best.value) { best = cell; where = key; }
    }
    if (best) go(where % columns, Math.floor(where / columns));
  };
  map.addEventListener("pointermove", (event) => {
    const box = map.getBoundingClientRect();
    go(Math.floor((event.clientX - box.left) / box.width * columns),
       Math.floor((event.clientY - box.top) / box.height * data.layers));
  });
  map.addEventListener("focus", () => { if (cursor.column < 0) strongest(); });
  map.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -1],
                    ArrowDown: [0, 1], PageUp: [-columns, 0], PageDown: [columns, 0] };
    const move = moves[event.key];
    if (move) go(cursor.column + move[0], cursor.layer + move[1]);
    else if (event.key === "Home") strongest();
    else return;
    event.preventDefault();
  });
  for (const button of buttons) {
    button.addEventListener("click", () => {
      series = Number(button.dataset.series);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      lay();
      strongest();
    });
  }
  for (const link of root.querySelectorAll("[data-block]")) {
    link.addEventListener("click", () =>
      goBlock(Number(link.dataset.block), Number(link.dataset.layer)));
  }
  const again = () => {
    if (!map.isConnected) return;
    lay();
    cursor.column = Math.min(cursor.column, columns - 1);
    draw();
  };
  window.addEventListener("resize", again);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  again();
  const first = root.querySelector("[data-block]");  // what counts most
  if (first) first.click(); else strongest();
};
