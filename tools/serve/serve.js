"use strict";
// Further views, and the router.

// ---- Verify

async function verifyView(view) {
  const place = element("div", { "aria-live": "polite" });
  const start = button("Read and check everything", async () => {
    try { await fetched("api/verify", { method: "POST", body: "{}",
                                        headers: { "Content-Type": "application/json" } }); }
    catch (error) { status(error.message); }
    before = "";
  });
  let before = "";
  view.append(element("h1", {}, "Is everything whole?"),
    element("p", {}, "Reads every block of every session and checks it. Nothing is changed."),
    element("p", {}, start), place);
  await repeat(1000, async () => {
    const check = await get("api/verify");
    start.disabled = check.state === "running";
    const now = JSON.stringify({ ...check, seconds: check.state === "running" ? 0 : check.seconds });
    if (now === before) return;
    before = now;
    const words = { never: "Not checked by this server yet.", running: "Checking, since " +
      check.began + ".", whole: "Everything is whole.", damaged: "There is damage: " + check.message,
      unreadable: "Not everything could be read: " + check.message,
      failed: "It could not be checked: " + check.message };
    place.replaceChildren(element("p", { id: "verdict",
      class: ["damaged", "unreadable", "failed"].includes(check.state) ? "bad" : "answer" },
      words[check.state]));
    if (check.report === null) return;
    const report = check.report;
    const unreadable = report.damaged.filter((one) => one.unreadable).length;
    place.append(element("p", {}, count(report.sessions) + " sessions, " + count(report.entries) +
      " catalog entries and " + count(report.block_records) + " block records (" +
      bytes(report.payload_bytes) + ") read in " + seconds(check.seconds) + ", begun " +
      check.began + "; " + count(report.damaged.length - unreadable) + " damaged" +
      (unreadable === 0 ? "." : ", " + count(unreadable) + " unreadable.")));
    if (report.damaged.length > 0) {
      place.append(table("Places that are damaged or could not be read",
        ["State", "Session", "Block", "Tokens", "What"],
        report.damaged.map((one) => [one.unreadable ? "unreadable" : "damaged",
          one.session === undefined ? "(store)" : one.session,
          one.block === undefined ? "" : one.block + "/" + one.layer + "/" + one.head,
          one.first_token === undefined ? "" : one.first_token + " to " + one.last_token,
          one.message])));
    }
  });
}

// ---- Live

// Samples of Prometheus' text format by name and labels: "cairn_tokens_total{kind="read"}".
function samples(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line);
    if (parts) found.set(parts[1], Number(parts[2]));
  }
  return found;
}
function liveRows(now, before, passed) {
  const at = (name) => now.get("cairn_" + name) || 0;
  const rate = (name) => before === null || passed <= 0 ? "" :
    ((at(name) - (before.get("cairn_" + name) || 0)) / passed).toFixed(1) + " /s";
  const rows = [["Tokens read", { number: count(at('tokens_total{kind="read"}')) },
                 rate('tokens_total{kind="read"}')],
    ["Tokens generated", { number: count(at('tokens_total{kind="generated"}')) },
     rate('tokens_total{kind="generated"}')],
    ["Commits", { number: count(at("commits_total")) }, ""],
    ["Waited for blocks", { number: seconds(at("wait_seconds_total")) }, ""],
    ["Blocks not yet written", { number: count(at('queue_depth{queue="write"}')) }, ""]];
  for (const tier of ["compute", "host", "cold"]) {
    const label = '{tier="' + tier + '"}';
    if (!now.has("cairn_fetched_blocks_total" + label)) continue;
    rows.push(["Blocks held, " + tier, { number: bytes(at("tier_held_bytes" + label)) }, ""],
      ["Blocks found, " + tier, { number: now.has("cairn_hit_ratio" + label)
        ? percent(at("hit_ratio" + label)) : "–" }, rate("fetched_blocks_total" + label)]);
  }
  return rows;
}
async function liveView(view) {
  view.append(element("h1", {}, "What runs now"));
  if (about.metrics_ports.length === 0) {
    view.append(element("p", {}, "Nothing is watched. `cairn ingest --metrics-port 9100 …` serves " +
      "its counters, and `cairn serve --watch-port 9100` shows them here. Sessions that grow can " +
      "be seen in the list too."));
  }
  about.metrics_ports.forEach((port, n) => {
    const place = element("div");
    view.append(element("h2", {}, "The command at port " + port), place);
    let before = null, then = 0;
    repeat(1000, async () => {
      try {
        const now = samples(await (await fetched("api/metrics?n=" + n)).text());
        const time = performance.now();
        place.replaceChildren(table("Counters since it began", ["", "Now", "Rate"],
          liveRows(now, before, (time - then) / 1000)));
        before = now;
        then = time;
      } catch (error) { place.replaceChildren(element("p", { class: "note" }, error.message)); }
    });
  });
}

// ---- Ladders

async function laddersView(view) {
  view.append(element("h1", {}, "Latency ladders"));
  const list = element("ul");
  about.ladders.forEach((name, n) =>
    list.append(element("li", {}, element("a", { href: "ladder?n=" + n }, name))));
  view.append(about.ladders.length > 0 ? list : element("p", {},
    "None. `cairn bench ladder --json >ladder.json` measures one, and " +
    "`cairn serve --report ladder.json` shows it."));
}

// ---- Ask

// The text after "data: " of each event of a stream.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = "";;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
      yield held.slice(0, end).replace(/^data: /, "");
      held = held.slice(end + 2);
    }
  }
}
// Asks, shows the answer as it comes, and tells where it was recorded.
async function ask(model, question, why, show, signal) {
  const answer = await fetched("v1/chat/completions", { method: "POST", signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model, stream: true, cairn: { why },
                           messages: [{ role: "user", content: question }] }) });
  let recorded = null;
  for await (const event of events(answer)) {
    if (event === "[DONE]") break;
    const piece = JSON.parse(event);
    if (piece.error) throw new Error(piece.error.message);
    show(piece.choices[0].delta.content || "");
    if (piece.cairn) recorded = piece.cairn.recorded;
  }
  return recorded;
}
async function askView(view, name) {
  view.append(element("h1", {}, "Ask a session"));
  if (!about.answers) {
    view.append(element("p", {}, "Nothing is answered here. `cairn serve --model FILE` answers."));
    return;
  }
  const mine = turn, models = (await get("v1/models")).data;
  if (mine !== turn) return;
  const session = element("select", {}, ...models.map((model) =>
    element("option", { value: model.id }, model.id)));
  if (name !== undefined) session.value = name;
  const question = element("textarea", { required: "" });
  const why = element("input", { type: "checkbox" });
  const start = element("button", { type: "submit" }, "Ask");
  const answer = element("p", { class: "answer", id: "answer", "aria-live": "polite" });
  const sources = element("div");
  const form = element("form", {}, element("label", {}, "Session", session),
    element("label", { class: "wide" }, "Question", question),
    element("label", {}, "Tell what it was read from", why), start);
  const going = new AbortController();
  window.addEventListener("hashchange", () => going.abort(), { once: true });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    answer.textContent = "";
    sources.replaceChildren();
    status("Asking \u2026");
    try {
      const recorded = await ask(session.value, question.value, why.checked,
        (piece) => { answer.textContent += shown(piece); }, going.signal);
      status("");
      if (recorded !== null && mine === turn) {
        const found = await get("api/recorded", { number: recorded });
        addWhy(sources, found, "h2");
      }
    } catch (error) { if (!going.signal.aborted) status(error.message); }
    start.disabled = false;
  });
  view.append(form, answer, sources);
}

// ---- Router

let about = null;
const VIEWS = [["sessions", "Sessions", sessionsView], ["session", null, sessionView],
               ["why", "Questions", whyView], ["ask", "Ask", askView], ["verify", "Verify", verifyView],
               ["live", "Live", liveView], ["ladders", "Ladders", laddersView]];

async function route() {
  const parts = /^#\/([a-z]+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash);
  if (location.hash !== "" && !parts) return;  // a place on the page
  const [at, name, query] = parts ? parts.slice(1) : ["sessions"];
  const found = VIEWS.find(([path]) => path === at) || VIEWS[0];
  ++turn;
  for (const a of document.querySelectorAll("#views a")) {
    if (a.getAttribute("href") === way(found[0])) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const view = element("div");
  page.replaceChildren(view);
  status("");
  try {
    await found[2](view, name === undefined ? undefined : decodeURIComponent(name),
                   new URLSearchParams(query || ""));
  } catch (error) { status(error.message); }
  const head = view.querySelector("h1");
  document.title = (head ? head.textContent + " – " : "") + "cairn";
  if (parts) page.focus({ preventScroll: true });
}
async function begin() {
  try {
    about = await get("api/about");
  } catch (error) {
    status(error.message);
    return;
  }
  const views = document.getElementById("views");
  for (const [path, label] of VIEWS) {
    if (label) views.append(element("li", {}, link(label, path)));
  }
  window.addEventListener("hashchange", route);
  route();
}
begin();
