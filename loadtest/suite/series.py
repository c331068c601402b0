"""A series: how something costs as one thing grows, as text, JSON and a page with plots. Pure."""

import html
from typing import NamedTuple

import tables

WIDTH, HEIGHT, MARGIN = 460, 220, 46
COLORS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")
STYLE = (
    "body{font:14px system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}"
    "svg{background:#fafafa;border:1px solid #ddd;margin:0 8px 8px 0}svg text{font-size:11px;fill:#444}"
    "table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #e5e5e5}"
)


class Series(NamedTuple):
    name: str
    title: str
    x: str  # What grows.
    columns: tuple  # Names of the figures of each point; the last is the cost of one call, or of all that is held.
    points: list  # Of (x, figures in the order of the columns).
    unit: str = ""  # One of what grows, where the cost grows with it; empty where it should stay the same.

    @property
    def costs(self):
        return [figures[-1] for _, figures in self.points]


def against_cheapest(costs):
    """Each cost against the cheapest so far: 1 while it falls or stays the same."""
    return [cost / min(costs[: at + 1]) if min(costs[: at + 1]) > 0 else 1.0 for at, cost in enumerate(costs)]


def further(series):
    """What each further unit costs: between a point and the one before it; at the first, what one costs."""
    first = series.costs[0] / series.points[0][0]
    steps = zip(series.points, series.points[1:])
    return [first, *((more[-1] - less[-1]) / (above - below) for (below, less), (above, more) in steps)]


def derived(series):
    """The columns that tell whether cost grows faster than the work: header, and one row for each point."""
    if not series.unit:
        return ("against the cheapest",), [(factor,) for factor in against_cheapest(series.costs)]
    each = [cost / size for cost, (size, _) in zip(series.costs, series.points)]
    return (f"per {series.unit}", f"each further {series.unit}"), list(zip(each, further(series)))


def rows_of(series):
    names, more = derived(series)
    figures = [(*of_point, *shown) for (_, of_point), shown in zip(series.points, more)]
    rows = [(f"{x:,}", *map(tables.number, row)) for (x, _), row in zip(series.points, figures)]
    return (series.x, *series.columns, *names), rows


def text(series):
    header, rows = rows_of(series)
    return f"{series.title} ({series.name})\n{tables.render(header, rows, left=0)}"


def plain(series):
    """For JSON."""
    return {
        "name": series.name,
        "title": series.title,
        "x": series.x,
        "columns": list(series.columns),
        "unit": series.unit,
        "points": [[x, *figures] for x, figures in series.points],
    }


def page(machine, command, every):
    """One self-contained page: a plot of each figure over what grows, and the numbers below it."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Quarry: cost as work grows</title>",
        f"<style>{STYLE}</style>",
        f"<h1>Cost as work grows</h1><p>{html.escape(machine)}<br><code>{html.escape(command)}</code></p>",
    ]
    for series in every:
        header, rows = rows_of(series)
        parts.append(f"<h2>{html.escape(series.title)}</h2>")
        parts += [plot(series, at) for at in range(len(series.columns))]
        lines = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        names = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        parts.append(f"<table><tr>{names}</tr>{lines}</table>")
    return "\n".join(parts) + "\n"


def label(x, y, words, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def plot(series, column):
    """One figure over what grows, which is multiplied from one point to the next: their distances are equal."""
    values = [figures[column] for _, figures in series.points]
    top, floor, right = max(values) or 1, HEIGHT - MARGIN, WIDTH - MARGIN
    step = (right - MARGIN) / max(1, len(values) - 1)
    dots = [(MARGIN + at * step, floor - (floor - MARGIN) * value / top) for at, value in enumerate(values)]
    color = COLORS[column % len(COLORS)]
    parts = [
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<path d="M{MARGIN},{MARGIN} V{floor} H{right}" stroke="#999" fill="none"/>',
        label(MARGIN - 6, MARGIN + 4, tables.number(top), "end"),
        label(MARGIN - 6, floor + 4, "0", "end"),
        label(WIDTH / 2, HEIGHT - 8, series.x),
        label(WIDTH / 2, 20, series.columns[column]),
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in dots)}" fill="none" stroke="{color}"/>',
    ]
    for (x, y), value, (size, _) in zip(dots, values, series.points):
        tip = f"<title>{tables.number(value)}</title>"
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}">{tip}</circle>']
        parts += [label(x, floor + 16, f"{size:,}")]
    return "".join(parts) + "</svg>"
