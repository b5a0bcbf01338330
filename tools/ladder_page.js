"use strict";
(() => {
  const ladder = JSON.parse(document.getElementById("ladder").textContent);
  const page = document.getElementById("page");
  page.textContent = "";
  const settings = ladder.settings;
  for (const point of ladder.points) {  // older files have tails of means
    if (!(point.timed_together > 1)) continue;
    point.p90_ns = point.p99_ns = point.p999_ns = point.max_ns = null;
    delete point.cdf;
  }

  // ---- Elements and words

  function element(name, attributes, ...children) {
    const svg = ["svg", "g", "line", "path", "circle", "rect", "text", "title"].includes(name);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
                     : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    for (const child of children) made.append(child);
    return made;
  }
  function digits(value) {
    return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
  }
  function time(ns) {
    if (ns === null || ns === undefined) return "–";
    for (const unit of ["ns", "µs", "ms"]) {
      if (ns < 999.5) return digits(ns) + " " + unit;
      ns /= 1000;
    }
    return digits(ns) + " s";
  }
  function size(bytes) {
    return bytes >= 1048576 ? bytes / 1048576 + " MiB" : bytes / 1024 + " KiB";
  }
  const rate = (bytes) => (bytes === null ? "–" : digits(bytes / 1e6) + " MB/s");
  const percent = (share) => digits(100 * share) + " %";
  const tick = (share) => 100 * share + " %";  // of whole percents
  const counted = (count, what) => count + " " + what + (count === 1 ? "" : "s");
  const median = (estimate) => (estimate ? estimate.median : null);
  function nameOf(point) {
    return point.tier + ": " + point.step + (point.variant ? ", " + point.variant : "");
  }

  // ---- Series: a colour and a shape each, the same in all plots

  const known = [];
  function series(name) {
    if (!known.includes(name)) known.push(name);
    const index = known.indexOf(name);
    return { color: `var(--s${index % 9})`, shape: index % 5,
             dash: ["", "7 3", "2 3", "9 3 2 3"][Math.floor(index / 5) % 4] };
  }
  function shape(kind, x, y, color) {
    const paths = ["M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0", "M-4-4H4V4H-4Z", "M0-5L5 4H-5Z",
                   "M0-5L5 0L0 5L-5 0Z", "M-4-4L4 4M4-4L-4 4"];
    return element("path", { d: paths[kind], transform: `translate(${x} ${y})`,
                             fill: kind === 4 ? "none" : color, stroke: color,
                             "stroke-width": kind === 4 ? 2 : 0 });
  }

  // ---- Plots

  // A point that can be reached by keyboard: one stop for the whole plot, arrows inside it.
  function mark(x, y, text, data, ...drawn) {
    const made = element("g", { class: "mark", tabindex: "-1", role: "img", "aria-label": text },
                         element("title", {}, text), ...drawn,
                         element("circle", { class: "halo", cx: x, cy: y, r: 9 }));
    for (const [key, value] of Object.entries(data)) made.dataset[key] = value;
    return made;
  }
  function reachable(plot, said) {
    const marks = [...plot.querySelectorAll(".mark")];
    if (marks.length === 0) return;
    marks[0].setAttribute("tabindex", "0");
    const tell = (at) => { said.textContent = at.getAttribute("aria-label"); };
    plot.addEventListener("focusin", (event) => tell(event.target));
    plot.addEventListener("mouseover", (event) => {
      const at = event.target.closest(".mark");
      if (at) tell(at);
    });
    plot.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      let next = marks.indexOf(document.activeElement);
      if (event.key === "Home") next = 0;
      else if (event.key === "End") next = marks.length - 1;
      else if (steps[event.key]) next += steps[event.key];
      else return;
      event.preventDefault();
      next = Math.max(0, Math.min(marks.length - 1, next));
      for (const one of marks) one.setAttribute("tabindex", "-1");
      marks[next].setAttribute("tabindex", "0");
      marks[next].focus();
    });
  }
  function table(head, rows) {
    const made = element("table", {}, element("tr", {},
      ...head.map((name) => element("th", { scope: "col" }, name))));
    for (const row of rows) {
      made.append(element("tr", {}, ...row.map((cell) => element("td", {}, String(cell)))));
    }
    return made;
  }
  function folded(summary, made) {
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "region",
                                    "aria-label": summary }, made);
    return element("details", {}, element("summary", {}, summary), scroll);
  }
  const plots = [];
  // draw(width) gives an svg and what its legend has; it is called again when the width changes.
  function figure(id, title, words, draw, head, rows) {
    page.append(element("h2", { id: id + "-title" }, title), element("p", { class: "faint" }, words));
    const plot = element("div", { class: "plot", id });
    const legend = element("ul", { class: "legend" });
    const said = element("p", { class: "said", "aria-live": "polite" });
    page.append(element("figure", { "aria-labelledby": id + "-title" }, plot, legend, said,
                        folded("The same as a table", table(head, rows))));
    plots.push(() => {
      const width = Math.max(plot.clientWidth, 260);
      const fresh = plot.cloneNode(false);  // without the listeners of before
      const { svg, names } = draw(width);
      fresh.append(svg);
      document.getElementById(id).replaceWith(fresh);
      legend.replaceChildren(...(names || []).map((name) => {
        const { color, shape: kind, dash } = series(name);
        return element("li", {}, element("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" },
          element("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: color, "stroke-width": 2,
                            "stroke-dasharray": dash }), shape(kind, 13, 6, color)), name);
      }));
      reachable(fresh, said);
    });
  }
  const decades = (low, high) => {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); ++e) {
      found.push(10 ** e);
    }
    return found;
  };
  function axis(low, high, from, to, logarithmic) {
    const f = logarithmic ? Math.log : (x) => x;
    return (value) => from + (to - from) * (f(value) - f(low)) / (f(high) - f(low) || 1);
  }
  function picture(width, height, label) {
    return element("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group",
                            "aria-label": label });
  }
  function write(x, y, text, more) {
    return element("text", { x, y, ...more }, text);
  }

  // Lines over a grid. lines: [{ name, points: [{ x, y, text }] }]
  function lines(width, label, all, options) {
    const height = width < 500 ? 300 : 380;
    const left = 62, right = width - 12, top = 10, bottom = height - 44;
    const xs = all.flatMap((line) => line.points.map((p) => p.x));
    const ys = all.flatMap((line) => line.points.map((p) => p.y));
    const xTicks = options.xTicks || decades(Math.min(...xs), Math.max(...xs));
    const yTicks = options.yTicks || decades(Math.min(...ys), Math.max(...ys));
    const x = axis(xTicks[0], xTicks[xTicks.length - 1], left, right, options.xLog);
    const y = axis(yTicks[0], yTicks[yTicks.length - 1], bottom, top, options.yLog);
    const svg = picture(width, height, label);
    let taken = -100;
    for (const tick of xTicks) {
      svg.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: bottom }));
      if (x(tick) - taken < 52) continue;
      taken = x(tick);
      svg.append(write(x(tick), bottom + 18, options.xName(tick), { "text-anchor": "middle" }));
    }
    for (const tick of yTicks) {
      svg.append(element("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }),
                 write(left - 6, y(tick) + 4, options.yName(tick), { "text-anchor": "end" }));
    }
    svg.append(write((left + right) / 2, height - 6, options.xTitle,
                     { "text-anchor": "middle", class: "faint" }));
    for (const line of all) {
      const { color, shape: kind, dash } = series(line.name);
      const path = line.points.map((p, i) => `${i ? "L" : "M"}${x(p.x)} ${y(p.y)}`).join("");
      svg.append(element("path", { d: path, fill: "none", stroke: color, "stroke-width": 2,
                                   "stroke-dasharray": dash }));
      for (const p of line.points) {
        svg.append(mark(x(p.x), y(p.y), `${line.name}: ${p.text}`,
                        { name: line.name, x: p.x, y: p.y },
                        options.small ? element("circle", { cx: x(p.x), cy: y(p.y), r: 2,
                                                            fill: color })
                                      : shape(kind, x(p.x), y(p.y), color)));
      }
    }
    return { svg, names: all.map((line) => line.name) };
  }

  // ---- What is shown

  const closed = ladder.points.filter((p) => p.loop === "closed");
  const crossing = closed.filter((p) => p.readers === settings.base_readers &&
    p.batch === settings.base_batch && p.block_bytes === settings.base_block_bytes);
  const fetches = crossing.filter((p) => p.step === "fetch" || p.step === "fetch + copy");
  const tiers = fetches.filter((p) => p.tier !== "mix");
  const batch = `${settings.base_batch} blocks of ${size(settings.base_block_bytes)}, ` +
                counted(settings.base_readers, "reader") + " in flight";
  const quantiles = [["p50", "p50_ns"], ["p90", "p90_ns"], ["p99", "p99_ns"], ["p99.9", "p999_ns"]];

  function header() {
    const machine = ladder.machine;
    const noise = ladder.noise, overhead = ladder.overhead;
    const facts = [
      ["Machine", `${machine.cpu}, ${machine.cores} cores, ${digits(machine.memory_bytes / 2 ** 30)} GiB`],
      ["System", `${machine.system}, ${machine.kernel}, attention by ${machine.attention}`],
      ["Disk", machine.file_system],
      ["Measured", `${ladder.date} UTC in ${digits(ladder.seconds)} s; medians of ` +
        `${settings.repetitions} turns of ${digits(1000 * settings.turn_seconds)} ms`],
      ["Noise", `nine of ten loops of fixed arithmetic lay within ${digits(noise.spread_percent)} %, ` +
        `the medians of the rounds within ${Math.ceil(Math.max(1, noise.drift_percent))} %; ` +
        `other programs had ${digits(noise.others_percent)} % of the cores`],
      ["Memory", `4 MiB read by one core in ${time(median(noise.memory_ns))}`],
      ["The ladder itself", `at most ${digits(overhead.worst_percent)} % of a step it reports`],
    ];
    for (const one of [...ladder.tiers, ...ladder.peers]) {
      if (!one.present) facts.push([one.name, "absent: " + one.note]);
    }
    for (const one of ladder.fio) {
      const rates = one.runs.map((run) => run.bytes_per_second / 1e6);
      const own = one.own_bytes_per_second.map((value) => digits(value / 1e6)).join(", ");
      facts.push([`fio, ${one.batch} × ${size(one.block_bytes)}`,
        `${digits(Math.min(...rates))} to ${digits(Math.max(...rates))} MB/s; our reader: ${own}`]);
    }
    const list = element("dl", {});
    for (const [name, value] of facts) {
      list.append(element("dt", {}, name), element("dd", {}, value));
    }
    page.append(element("h1", {}, "The latency ladder"),
      element("p", { class: "faint" }, "How long blocks take to arrive, tier by tier and step by step."),
      list, element("pre", { id: "command" }, ladder.command));
  }

  function rungs(id, title, words, points) {
    const values = points.flatMap((p) => [...quantiles.map(([, key]) => median(p[key])), p.max_ns])
      .filter((v) => v !== null);
    if (values.length === 0) return;
    const draw = (width) => {
      const rowHeight = 44, top = 8, left = 8, right = width - 24;
      const height = top + points.length * rowHeight + 30;
      const ticks = decades(Math.min(...values), Math.max(...values));
      const x = axis(ticks[0], ticks[ticks.length - 1], left, right, true);
      const svg = picture(width, height, title);
      let taken = -100;
      for (const tick of ticks) {
        svg.append(element("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top,
                                     y2: height - 26 }));
        if (x(tick) - taken < 58) continue;
        taken = x(tick);
        svg.append(write(x(tick), height - 8, time(tick).replace(".00", "").replace(".0", ""),
                         { "text-anchor": tick === ticks[0] ? "start" : "middle" }));
      }
      points.forEach((p, i) => {
        const y = top + i * rowHeight + 30;
        const color = series(nameOf(p)).color;
        svg.append(write(left, y - 12, nameOf(p)));
        if (p.max_ns !== null) {
          svg.append(element("line", { x1: x(p.p50_ns.median), x2: x(p.max_ns), y1: y, y2: y,
                                       stroke: color, "stroke-width": 2 }));
        }
        quantiles.forEach(([name, key], q) => {
          if (!p[key]) return;
          const at = x(p[key].median);
          const text = `${nameOf(p)}, ${name}: ${time(p[key].median)}` + (p[key].low === null ? ""
            : ` (${time(p[key].low)} to ${time(p[key].high)})`) +
            (p.timed_together > 1 ? `, of means of ${p.timed_together}` : "");
          svg.append(mark(at, y, text, { name: p.name, x: p[key].median, y: name },
            element("circle", { cx: at, cy: y, r: q === 0 ? 6 : 4, fill: q === 0 ? color
              : "var(--paper)", stroke: color, "stroke-width": 2 })));
        });
        if (p.max_ns === null) return;
        const last = x(p.max_ns);
        svg.append(mark(last, y, `${nameOf(p)}, greatest: ${time(p.max_ns)}`,
          { name: p.name, x: p.max_ns, y: "max" },
          element("line", { x1: last, x2: last, y1: y - 6, y2: y + 6, stroke: color,
                            "stroke-width": 2 })));
      });
      return { svg };
    };
    figure(id, title, words, draw,
      ["", "p50", "interval", "p90", "p99", "p99.9", "max", "bandwidth", "CPU"],
      points.map((p) => [nameOf(p), time(p.p50_ns.median), p.p50_ns.low === null ? "–"
        : `${time(p.p50_ns.low)} – ${time(p.p50_ns.high)}`, time(median(p.p90_ns)),
        time(median(p.p99_ns)), time(median(p.p999_ns)), time(p.max_ns),
        rate(median(p.bytes_per_second)), time(median(p.cpu_ns))]));
  }

  function curves() {
    const all = tiers.filter((p) => p.cdf).map((p) => ({ name: nameOf(p), points: p.cdf.map(
      ([ns, share]) => ({ x: ns, y: share, text: `${percent(share)} within ${time(ns)}` })) }));
    if (all.length === 0) return;
    figure("cdf", "Distribution", `Share of fetches that had ended by then. ${batch}.`,
      (width) => lines(width, "Share of fetches over time", all,
        { xLog: true, small: true, yTicks: [0, 0.25, 0.5, 0.75, 1], yName: tick,
          xName: (ns) => time(ns).replace(".00", "").replace(".0", ""), xTitle: "time" }),
      ["", "time", "share"],
      all.flatMap((line) => line.points.map((p) => [line.name, time(p.x), percent(p.y)])));
  }

  function bandwidth() {
    const all = [];
    for (const p of closed) {
      if (p.bytes_per_second === null || !p.step.startsWith("fetch") || p.tier === "mix" ||
          p.readers !== settings.base_readers || p.block_bytes !== settings.base_block_bytes) continue;
      let line = all.find((one) => one.name === nameOf(p));
      if (!line) all.push(line = { name: nameOf(p), points: [] });
      line.points.push({ x: p.batch, y: p.bytes_per_second.median,
                         text: `${p.batch} blocks, ${rate(p.bytes_per_second.median)}` });
    }
    if (all.length === 0) return;
    for (const line of all) line.points.sort((a, b) => a.x - b.x);
    const batches = [...new Set(all.flatMap((line) => line.points.map((p) => p.x)))];
    batches.sort((a, b) => a - b);
    figure("bandwidth", "Bandwidth against batch", "Payload bytes a second as more blocks of " +
      `${size(settings.base_block_bytes)} are fetched at once. What is found in place has none.`,
      (width) => lines(width, "Bandwidth against blocks in a batch", all,
        { xLog: true, yLog: true, xTicks: batches, xName: String, xTitle: "blocks in a batch",
          yName: (value) => (value >= 1e9 ? value / 1e9 + " GB/s" : value / 1e6 + " MB/s") }),
      ["", "blocks", "bandwidth"],
      all.flatMap((line) => line.points.map((p) => [line.name, p.x, rate(p.y)])));
  }

  function misses() {
    ladder.miss_curves.forEach((curve, number) => {
      const policies = Object.keys(curve.points[0].miss_ratio);
      const all = policies.map((name) => ({ name, points: curve.points.map((p) => ({
        x: p.percent, y: p.miss_ratio[name],
        text: `${digits(p.percent)} % in memory, ${percent(p.miss_ratio[name])} missed` })) }));
      figure("misses-" + number, "Miss-ratio curve", `Share of fetched blocks that are not in ` +
        `memory, by how much of its ${curve.distinct_blocks} blocks memory holds: ${curve.name}.`,
        (width) => lines(width, "Misses against memory", all,
          { yTicks: [0, 0.25, 0.5, 0.75, 1], yName: tick, xTicks: [0, 20, 40, 60, 80, 100],
            xName: (value) => value + " %", xTitle: "memory, percent of the blocks" }),
        ["", "memory, %", "missed"],
        all.flatMap((line) => line.points.map((p) => [line.name, digits(p.x), percent(p.y)])));
    });
  }

  function queues() {
    const open = ladder.points.filter((p) => p.loop === "open");
    if (open.length === 0) return;
    page.append(element("h2", {}, "What a closed loop hides"), element("p", { class: "faint" },
      "Fetches that start at given times, at a share of what the closed loop managed. Their latency " +
      "counts from the time they should have started; “work” counts from when they did."));
    const rows = open.map((p) => {
      const same = closed.find((c) => c.variant === "" && ["tier", "step", "batch", "readers",
        "block_bytes"].every((key) => c[key] === p[key]));
      return [p.tier, p.readers, p.variant, p.load_percent + " %", time(median(p.p50_ns)),
        time(median(p.p99_ns)), time(median(p.service_p99_ns)),
        time(same ? median(same.p99_ns) : null)];
    });
    page.append(element("div", { class: "scroll", tabindex: "0", role: "region",
      "aria-label": "Open loops" }, table(["", "readers", "arrivals", "load", "p50", "p99",
      "work p99", "closed p99"], rows)));
  }

  function everything() {
    page.append(element("h2", {}, "All points"), folded(`${ladder.points.length} points`, table(
      ["", "block", "batch", "readers", "loop", "p50", "p99", "max", "bandwidth", "from device"],
      ladder.points.map((p) => [nameOf(p), p.block_bytes ? size(p.block_bytes) : "–", p.batch,
        p.readers, p.loop === "open" ? `open, ${p.load_percent} %` : "closed",
        time(median(p.p50_ns)), time(median(p.p99_ns)), time(p.max_ns),
        rate(median(p.bytes_per_second)),
        p.process_read_bytes === null ? "–" : digits(p.process_read_bytes / 1e6) + " MB"]))));
  }

  header();
  rungs("rungs", "The ladder", `Time until a batch is there: ${batch}. Filled: median; rings: p90, ` +
    "p99 and p99.9; bar: the greatest. What is quick is timed several together: its median is of " +
    "means, which have no tails.", tiers);
  const steps = closed.filter((p) => p.tier === "CPU" ? p.readers === 1 &&
    (p.block_bytes === 0 || p.block_bytes === settings.base_block_bytes) &&
    (p.batch === settings.base_batch || (p.block_bytes === 0 && p.batch === 1))
    : p.step === "commit" && crossing.includes(p));
  rungs("steps", "Steps of a retrieval", "The arithmetic and look-ups around a fetch, for one layer " +
    "of one token, and a commit.", steps);
  rungs("mixes", "Mixes", "Batches of which such shares (percent) are in the compute slab, in host " +
    "memory and on the SSD.", fetches.filter((p) => p.tier === "mix"));
  curves();
  bandwidth();
  queues();
  misses();
  everything();
  let width = 0;
  const redraw = () => {
    if (page.clientWidth === width) return;
    width = page.clientWidth;
    plots.forEach((draw) => draw());
  };
  redraw();
  window.addEventListener("resize", redraw);
})();
