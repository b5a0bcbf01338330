"use strict";
// The views of `cairn serve`. The part of the address behind "#" says which: "#/session/book".
const page = document.getElementById("page");
const PAGE_TOKENS = 1024;
let turn = 0;  // of the router: what belongs to an earlier view stops

// Calls `step` now and every `every` milliseconds, while the view stays.
function repeat(every, step) {
  const mine = turn;
  const again = async () => {
    if (mine !== turn) return;
    try { await step(); } catch (error) { if (mine === turn) status(error.message); }
    if (mine === turn) setTimeout(again, every);
  };
  return again();
}

// ---- Sessions

function depthOf(session, all) {
  let depth = 0;
  for (let name = session.shares_with; name && depth < 20; ++depth) {
    const parent = all.find((one) => one.name === name);
    name = parent && parent.shares_with;
  }
  return depth;
}
// Forks below what they share with.
function asTree(all) {
  const names = new Set(all.map((session) => session.name));
  const tree = [];
  const add = (session) => {
    if (tree.includes(session)) return;
    tree.push(session);
    all.filter((one) => one.shares_with === session.name).forEach(add);
  };
  all.filter((session) => !names.has(session.shares_with)).forEach(add);
  all.forEach(add);
  return tree;
}
function sessionRow(session, all) {
  const cell = element("span", {}, "\u2003".repeat(depthOf(session, all)),
    link(session.name, "session", session.name));
  return [cell, { number: count(session.tokens) }, { number: bytes(session.payload_bytes) },
          session.mode, session.unfinished ? "half read" : "",
          session.shares_with
            ? "first " + count(session.shared_tokens) + " tokens of " + session.shares_with : ""];
}
async function sessionsView(view) {
  let before = "";
  const place = element("div");
  view.append(element("h1", {}, "Sessions of " + about.store), place);
  await repeat(2000, async () => {
    const list = await get("api/sessions"), now = JSON.stringify(list);
    if (now === before) return;
    before = now;
    const held = document.activeElement && document.activeElement.getAttribute("href");
    const rows = asTree(list.sessions).map((session) => sessionRow(session, list.sessions));
    place.replaceChildren(table(
      list.sessions.length + " in all, " + bytes(list.disk_bytes) + " on disk",
      ["Session", "Tokens", "Keys and values", "Mode", "Text", "Shared"], rows));
    for (const one of list.damaged) {
      place.append(element("p", { class: "bad" }, one.name + " is damaged: " + one.message));
    }
    const again = [...place.querySelectorAll("a")].find((a) => a.getAttribute("href") === held);
    if (again && held) again.focus();
  });
}

// ---- One session

function textSection(name, tokens, first) {
  const section = element("section", { "aria-label": "Text" }, element("h2", {}, "Its text"));
  const note = element("p", { class: "note", role: "status" });
  const text = element("div", { class: "text", tabindex: "0", role: "region",
                                "aria-label": "Text of these tokens" });
  const input = element("input", { type: "number", min: "0", max: String(tokens), value: first,
                                   inputmode: "numeric" });
  const show = async (from) => {
    first = Math.max(0, Math.min(from, tokens - 1));
    const end = Math.min(tokens, first + PAGE_TOKENS);
    input.value = first;
    try {
      const got = await get("api/text", { name, first, end });
      text.textContent = shown(got.text);
      note.textContent = "Tokens " + count(first) + " to " + count(end - 1) + ", blocks " +
        Math.floor(first / got.block_tokens) + " to " +
        Math.floor((end - 1) / got.block_tokens) + ".";
    } catch (error) { note.textContent = shown(error.message); }
  };
  const form = element("form", {}, element("label", {}, "From token", input),
    element("button", { type: "submit" }, "Show"),
    button("Earlier", () => show(first - PAGE_TOKENS)),
    button("Later", () => show(first + PAGE_TOKENS)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(Number(input.value));
  });
  section.append(form, note, text);
  if (tokens > 0) show(first);
  return section;
}
async function addFetches(view, name) {
  for (let trace = 0; trace < about.traces.length; ++trace) {
    const heat = await get("api/fetches", { trace, name });
    if (heat.series[0].length === 0) continue;
    const section = heatSection("What was fetched, by " + about.traces[trace],
      "the oftener it was fetched", heat, ["all KV heads"]);
    view.append(section);
    textHeat(section, heat);
  }
}
async function sessionView(view, name, query) {
  const mine = turn;
  const session = await get("api/session", { name });
  if (mine !== turn) return;
  view.append(element("h1", {}, "Session " + name), facts([
    ["Tokens", count(session.tokens) + " in " + count(session.rows) + " rows and " +
      count(session.blocks) + " sealed blocks"],
    ["Model", session.model.path],
    ...session.adapters.map((one) => ["Adapter", one.path + " (scale " + one.scale + ")"]),
    ["Options", JSON.stringify(session.options)],
    ["Search", session.index],
    ...session.ingests.map((one) => ["Read", one.source + ": " + count(one.tokens) +
      " tokens from token " + count(one.start) + (one.done ? "" : " (unfinished)")]),
    ...(session.shares_with ? [["Fork", element("span", {}, "its first " +
      count(session.shared_tokens) + " tokens are those of ",
      link(session.shares_with, "session", session.shares_with))]] : []),
    ...session.forks.map((fork) => ["Forked", element("span", {},
      link(fork.name, "session", fork.name), " has its first " + count(fork.shared_tokens) +
      " tokens")]),
    ["On disk", bytes(session.payload_bytes) + ", " + bytes(session.own_bytes) + " of its own"],
    ["Commits", count(session.commits)], ["Digest", session.digest]]));
  if (about.answers) {
    view.append(element("p", {}, link("Ask it something", "ask", name)));
  }
  await addFetches(view, name);
  view.append(textSection(name, session.tokens, Number(query.get("first") || 0)));
  view.append(element("h2", {}, "How it grew"), table(session.history.length + " steps",
    ["Step", "Tokens", "Blocks", "Tokens then"], session.history.map((step, index) =>
      [{ number: index + 1 }, { number: "+" + count(step.added.tokens) },
       { number: "+" + count(step.added.blocks) }, { number: count(step.tokens) }])));
}

// ---- Why

// The map of a document of `cairn why`: in each layer the largest share that a head gave a block.
function heatOfWhy(why) {
  const size = why.passages.map((one) => one.block > 0 ? one.tokens[0] / one.block : 0)
    .find((tokens) => tokens > 0) || 64;
  const series = [], passages = {};
  let blocks = 1, layers = 1;
  const all = new Map();
  const raise = (cells, block, layer, value) => {
    const key = block + " " + layer;
    if (!(cells.get(key) >= value)) cells.set(key, value);
  };
  const list = (cells) => [...cells].map(([key, value]) => [...key.split(" ").map(Number), value]);
  for (const token of why.answer_tokens) {
    const cells = new Map();
    for (const layer of token.layers) {
      for (const read of layer.heads.flatMap((head) => head.blocks)) {
        raise(cells, read.block, layer.layer, read.top_share);
        if (token.weight > 0) raise(all, read.block, layer.layer, read.top_share * token.weight);
        passages[read.block] = [read.block * size, (read.block + 1) * size - 1, ""];
        blocks = Math.max(blocks, read.block + 1);
        layers = Math.max(layers, layer.layer + 1);
      }
    }
    series.push(list(cells));
  }
  for (const one of why.passages) passages[one.block] = [...one.tokens, shown(one.text)];
  return { blocks: Math.max(blocks, Math.ceil((why.tokens || 0) / size)), layers, passages,
           what: "of a head's attention", percent: true, series: [list(all), ...series],
           textOf: why.session === undefined ? undefined : async (block) => {
             const first = block * size, end = Math.min(first + size, why.tokens);
             return (await get("api/text", { name: why.session, first, end })).text;
           } };
}
function addWhy(view, why, heading = "h1") {
  view.append(element(heading, {}, why.question), element("p", { class: "answer" }, why.answer));
  if (why.session !== undefined) {
    view.append(element("p", { class: "note" }, "Asked of session ",
      link(why.session, "session", why.session), ", " + count(why.tokens) + " tokens."));
  }
  const passages = element("ol");
  const text = (at) => (why.answer_tokens.find((one) => one.token === at) || { text: "" }).text;
  for (const one of why.passages) {
    const most = one.most_for;
    passages.append(element("li", {}, element("div", { class: "passage" },
      element("b", {}, percent(one.share) + ": block " + one.block + ", tokens " +
        count(one.tokens[0]) + " to " + count(one.tokens[1]) + ", most for \u201c" +
        text(most.token) + "\u201d in layer " + most.layer + ", head " + most.head + " ",
        element("button", { type: "button", "data-block": one.block, "data-layer": most.layer },
          "on the map")), one.text.trim())));
  }
  view.append(element("section", { "aria-label": "Passages" },
    element("h2", {}, "What it was read from"), passages));
  const heat = heatOfWhy(why);
  view.append(heatSection("Where it was read", "the more of its attention some head gave it", heat,
    ["what tells", ...why.answer_tokens.map((one) =>
      one.text.trim() ? one.text : one.text.replace(/ /g, "\u2423").replace(/\n/g, "\u23ce"))]));
  textHeat(view, heat);
}
async function whyView(view, at) {
  const mine = turn;
  if (at === undefined) {
    const recorded = (await get("api/about")).recorded;
    if (mine !== turn) return;
    view.append(element("h1", {}, "Recorded questions"));
    if (about.questions.length + recorded.length === 0) {
      view.append(element("p", {}, "None. `cairn why … --json >why.json` records one, and " +
        "`cairn serve --recorded why.json` shows it."));
    }
    const list = element("ul");
    about.questions.forEach((name, n) =>
      list.append(element("li", {}, link(name, "why", String(n)))));
    recorded.forEach((one) =>
      list.append(element("li", {}, link(one.question, "why", "answer-" + one.number))));
    view.append(list);
    return;
  }
  const why = at.startsWith("answer-") ? await get("api/recorded", { number: at.slice(7) })
                                       : await get("api/question", { n: at });
  if (mine === turn) addWhy(view, why);
}
