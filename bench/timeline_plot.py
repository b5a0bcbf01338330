#!/usr/bin/env python3
"""Draws one step of a trace that a command wrote with --perfetto FILE, and says what took how long.

    cairn ask --store DIR --session S --perfetto ask.json "Question?"
    bench/timeline_plot.py ask.json decode.svg --rows 1

Of all steps with so many rows it takes the one whose time is the median. A lane for each depth of
slices on the thread that makes the step, and one for each other thread that did something
meanwhile. Prints a table (JSON with --json): for each name the milliseconds on the step's thread,
without the slices inside, and their share of the step; for other threads the sum.
"""
import argparse
import html
import json
import sys

WIDTH, LEFT, TOP, LANE, GAP = 960, 120, 58, 24, 8
COLORS = {"step": "#d9d9d9", "layer": "#bdbdbd", "attention": "#9ecae1", "search": "#2166ac",
          "local rows": "#4d9221", "wait": "#b2182b", "chosen rows": "#a6d96a",
          "fetch": "#f4a582", "read": "#d6604d", "seal": "#762a83", "commit": "#40004b"}


def slices_of(path):
    """Complete events as dictionaries with begin and end in microseconds."""
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    return [{"name": e["name"], "thread": e["tid"], "begin": e["ts"], "end": e["ts"] + e["dur"],
             "number": e.get("args", {}).get("number", -1)} for e in events if e["ph"] == "X"]


def median_step(slices, rows):
    steps = [s for s in slices if s["name"] == "step" and (rows is None or s["number"] == rows)]
    if not steps:
        found = sorted({s["number"] for s in slices if s["name"] == "step"})
        sys.exit(f"no step of {rows} rows in the trace; there are steps of {found}")
    steps.sort(key=lambda s: s["end"] - s["begin"])
    return steps[len(steps) // 2]


def nested(slices):
    """Gives each slice of one thread its depth, and its own time without the slices inside."""
    slices.sort(key=lambda s: (s["begin"], -s["end"]))
    above = []
    for current in slices:
        while above and above[-1]["end"] <= current["begin"]:
            above.pop()
        current["depth"] = len(above)
        current["own"] = current["end"] - current["begin"]
        if above:
            above[-1]["own"] -= current["own"]
        above.append(current)
    return slices


def own_times(slices):
    times = {}
    for s in slices:
        times[s["name"]] = times.get(s["name"], 0) + s["own"]
    return dict(sorted(times.items(), key=lambda item: -item[1]))


def draw(lanes, step, title):
    """lanes: (label, slices). One SVG, scaled to the step."""
    scale = (WIDTH - LEFT - 10) / (step["end"] - step["begin"])
    height = TOP + len(lanes) * (LANE + GAP) + 40
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             f'<text x="{LEFT}" y="18" font-size="14">{html.escape(title)}</text>']
    names = [name for name in COLORS if any(s["name"] == name for _, found in lanes
                                            for s in found)]
    x = LEFT
    for name in names:
        parts.append(f'<rect x="{x}" y="28" width="12" height="12" fill="{COLORS[name]}"/>'
                     f'<text x="{x + 16}" y="38">{name}</text>')
        x += 30 + 7 * len(name)
    for row, (label, found) in enumerate(lanes):
        y = TOP + row * (LANE + GAP)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{label}</text>')
        for s in found:
            begin = max(s["begin"], step["begin"])
            width = max(0.4, (min(s["end"], step["end"]) - begin) * scale)
            parts.append(f'<rect x="{LEFT + (begin - step["begin"]) * scale:.2f}" y="{y}" '
                         f'width="{width:.2f}" height="{LANE}" '
                         f'fill="{COLORS.get(s["name"], "#ffffb3")}"/>')
    y = TOP + len(lanes) * (LANE + GAP) + 12
    total = (step["end"] - step["begin"]) / 1000
    for i in range(5):
        parts.append(f'<text x="{LEFT + i * (WIDTH - LEFT - 10) / 4:.1f}" y="{y}" '
                     f'text-anchor="{"end" if i == 4 else "middle"}">{total * i / 4:.2f} ms</text>')
    return "\n".join(parts + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("trace")
    parser.add_argument("svg")
    parser.add_argument("--rows", type=int, help="rows of the step (default: any)")
    parser.add_argument("--title", default="")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    slices = slices_of(args.trace)
    step = median_step(slices, args.rows)
    within = [s for s in slices if s["begin"] < step["end"] and s["end"] > step["begin"]]
    own = nested([s for s in within if s["thread"] == step["thread"] and
                  s["begin"] >= step["begin"] and s["end"] <= step["end"]])
    lanes = [(f"depth {depth}", [s for s in own if s["depth"] == depth])
             for depth in range(1, 1 + max(s["depth"] for s in own))]
    others = sorted({s["thread"] for s in within} - {step["thread"]})
    other_times = {}
    for number, thread in enumerate(others, 1):
        found = nested([s for s in within if s["thread"] == thread])
        lanes.append((f"thread {number}", found))
        for name, time in own_times(found).items():
            other_times[name] = other_times.get(name, 0) + time
    total = step["end"] - step["begin"]
    title = args.title or f"A step of {step['number']} rows, {total / 1000:.2f} ms"
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(draw(lanes, step, title))
    times = own_times(own)
    if args.json:
        print(json.dumps({"rows": step["number"], "milliseconds": total / 1000,
                          "own": {name: time / 1000 for name, time in times.items()},
                          "other_threads": {n: t / 1000 for n, t in other_times.items()}}))
        return
    print(f"a step of {step['number']} rows: {total / 1000:.3f} ms")
    for name, time in times.items():
        print(f"{name:>12} {time / 1000:9.3f} ms {time / total:7.1%}")
    for name, time in other_times.items():
        print(f"{name:>12} {time / 1000:9.3f} ms on {len(others)} other threads")


if __name__ == "__main__":
    main()
