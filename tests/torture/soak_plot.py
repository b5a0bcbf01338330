"""Draws what a soak took over time: cairn-torture --soak --csv FILE.

  soak_plot.py FILE.csv FILE.svg TITLE
"""
import csv
import sys

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 760, 110, 46, 70, 150, 46
COLORS = ["#2166ac", "#b2182b", "#4d9221", "#762a83"]
# Title of a panel, and its lines: column, name.
PANELS = [
    ("memory of the process, MiB", [("rss_mib", "resident")]),
    ("files", [("open_files", "open ones"), ("store_files", "of the store")]),
    ("store on disk, MiB", [("store_mib", "all files")]),
    ("median latency, ms", [("step_p50_us", "step"), ("commit_p50_us", "commit"),
                            ("open_p50_us", "open"), ("check_p50_us", "check")]),
    ("99th percentile, ms", [("step_p99_us", "step"), ("commit_p99_us", "commit"),
                             ("open_p99_us", "open"), ("check_p99_us", "check")]),
]


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points(rows, column):
    """(minutes, value) of the rows that have one; microseconds become milliseconds."""
    scale = 1000 if column.endswith("_us") else 1
    return [(float(row["seconds"]) / 60, float(row[column]) / scale)
            for row in rows if row[column]]


def nice_top(value):
    """The least of 1, 2, 5 times a power of ten that is not below `value`."""
    step = 10.0 ** -3
    while True:
        for factor in (1, 2, 5):
            if factor * step >= value:
                return factor * step
        step *= 10


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def panel(rows, title, lines, top, minutes):
    drawn = [(name, points(rows, column)) for column, name in lines]
    values = sorted(value for _, line in drawn for _, value in line) or [1]
    # A process that waits for a core now and then would leave nothing to see of the rest.
    most = nice_top(min(values[-1], 3 * values[len(values) * 3 // 4]))
    if values[-1] > most:
        title += f" (up to {values[-1]:.3g}; cut off here)"
    right, bottom = WIDTH - RIGHT, top + PANEL
    parts = [text(LEFT, top - 8, title)]
    for share in (0, 0.5, 1):
        y = bottom - share * PANEL
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y + 4, f"{share * most:g}", "end"))
    for index, (name, line) in enumerate(drawn):
        path = " ".join(f"{LEFT + x / minutes * (right - LEFT):.1f},"
                        f"{bottom - min(y / most, 1) * PANEL:.1f}" for x, y in line)
        color = COLORS[index]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}"/>')
        parts.append(text(right + 8, top + 14 + 18 * index, name, more=f' fill="{color}"'))
    return parts


def draw(rows, title):
    minutes = max(float(row["seconds"]) for row in rows) / 60
    height = TOP + len(PANELS) * (PANEL + GAP) + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text(LEFT, 18, title, more=' font-weight="bold"')]
    for index, (name, lines) in enumerate(PANELS):
        parts += panel(rows, name, lines, TOP + index * (PANEL + GAP), minutes)
    bottom = height - GAP + 4
    parts += [text(LEFT, bottom, "0"),
              text(WIDTH - RIGHT, bottom, f"{minutes:.0f} minutes", "end"), "</svg>"]
    return "\n".join(parts) + "\n"


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    rows = read(arguments[0])
    if not rows:
        sys.exit(f"{arguments[0]} has no samples")
    with open(arguments[1], "w", encoding="utf-8") as file:
        file.write(draw(rows, arguments[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
