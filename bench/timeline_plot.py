#!/usr/bin/env python3
"""Draws a step of a trace that a command wrote with --perfetto FILE, and says what took how long.

    cairn ask --store DIR --session S --perfetto ask.json "Question?"
    bench/timeline_plot.py ask.json decode.svg --rows 1

It draws the step whose time is the median of those with so many rows: a lane for each depth of
slices on the thread that makes the step, and one for each other thread that did something
meanwhile. Prints medians over all these steps (JSON with --json): milliseconds of a step, of it
without waiting for blocks, and for each name on the step's thread, without the slices inside.
"""
import argparse
import bisect
import html
import json
import statistics
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


def steps_of(slices, rows):
    """The steps with so many rows, shortest first."""
    steps = [s for s in slices if s["name"] == "step" and (rows is None or s["number"] == rows)]
    if not steps:
        found = sorted({s["number"] for s in slices if s["name"] == "step"})
        sys.exit(f"no step of {rows} rows in the trace; there are steps of {found}")
    return sorted(steps, key=duration)


def duration(part):
    return part["end"] - part["begin"]


def nested(slices):
    """Gives each slice of one thread its depth, and its own time without the slices inside."""
    slices.sort(key=lambda s: (s["begin"], -s["end"]))
    above = []
    for current in slices:
        while above and above[-1]["end"] <= current["begin"]:
            above.pop()
        current["depth"] = len(above)
        current["own"] = duration(current)
        if above:
            above[-1]["own"] -= current["own"]
        above.append(current)
    return slices


def medians(steps, slices):
    """Milliseconds: of a step, without waiting, and by name; `slices` are nested."""
    begins = [s["begin"] for s in slices]
    own, without_waiting = {}, []
    for number, step in enumerate(steps):
        waited = 0
        for s in slices[bisect.bisect_left(begins, step["begin"]):]:
            if s["begin"] >= step["end"]:
                break
            times = own.setdefault(s["name"], [0] * len(steps))
            times[number] += s["own"]
            waited += s["own"] if s["name"] == "wait" else 0
        without_waiting.append(duration(step) - waited)
    in_order = sorted(((name, statistics.median(times) / 1000) for name, times in own.items()),
                      key=lambda item: -item[1])
    return (statistics.median(map(duration, steps)) / 1000,
            statistics.median(without_waiting) / 1000, dict(in_order))


def draw(lanes, step, title):
    """lanes: (label, slices). One SVG, scaled to the step."""
    scale = (WIDTH - LEFT - 10) / duration(step)
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
    total = duration(step) / 1000
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
    steps = steps_of(slices, args.rows)
    step = steps[len(steps) // 2]
    threads = {s["thread"] for s in slices}
    by_thread = {t: nested([s for s in slices if s["thread"] == t]) for t in threads}

    def meanwhile(thread):
        return [s for s in by_thread[thread]
                if s["begin"] < step["end"] and s["end"] > step["begin"]]

    inside = [s for s in meanwhile(step["thread"]) if s["depth"] > step["depth"]]
    lanes = [(f"depth {depth - step['depth']}", [s for s in inside if s["depth"] == depth])
             for depth in sorted({s["depth"] for s in inside})]
    others = [found for t in sorted(threads - {step["thread"]}) if (found := meanwhile(t))]
    lanes += [(f"thread {number}", found) for number, found in enumerate(others, 1)]
    title = args.title or f"A step of {step['number']} rows, {duration(step) / 1000:.2f} ms"
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(draw(lanes, step, title))
    total, without_waiting, times = medians([s for s in steps if s["thread"] == step["thread"]],
                                            by_thread[step["thread"]])
    if args.json:
        print(json.dumps({"rows": step["number"], "steps": len(steps), "milliseconds": total,
                          "without_waiting": without_waiting, "own": times}))
        return
    print(f"{len(steps)} steps of {step['number']} rows: {total:.3f} ms, "
          f"{without_waiting:.3f} without waiting for blocks")
    for name, time in times.items():
        print(f"{name:>12} {time:9.3f} ms")


if __name__ == "__main__":
    main()
