"""Draws a dashboard's panels from Prometheus' data, much as Grafana draws them; for the pictures in docs/dashboards."""

import datetime
import io
import math
import re

import dashboards
import matplotlib
from matplotlib import pyplot
from PIL import Image

matplotlib.use("Agg")

CELL_WIDTH, CELL_HEIGHT, MARGIN, DPI = 66, 35, 5, 100
PAGE, PANEL, INK, FAINT, GRID = "#111217", "#181b1f", "#d5d6dd", "#8e8f99", "#2c2f36"
COLORS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44"]
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
LEGEND_ROWS = 4


def shown(value, unit):
    """A value as Grafana writes it in that unit."""
    if not math.isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and value >= 60:
        return f"{value / 60:.3g} min"
    if unit == "s":
        for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= scale or name == "µs":
                return "0 s" if value == 0 else f"{value / scale:.3g} {name}"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    suffix = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    return (f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}") + suffix


def named(target, metric):
    return re.sub(r"{{(\w+)}}", lambda found: metric.get(found.group(1), ""), target["legendFormat"])


class Page:
    """One dashboard, on a canvas whose unit is the pixel, from the top left."""

    def __init__(self, api, dashboard, start, end, rate_interval):
        self.api, self.start, self.end, self.rate_interval = api, start, end, rate_interval
        self.values = dashboards.variable_values(api, dashboard)
        self.panels = dashboard["panels"]
        self.top = 46
        self.width = 24 * CELL_WIDTH + 2 * MARGIN
        self.height = self.top + MARGIN + CELL_HEIGHT * max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in self.panels)
        self.figure = pyplot.figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor=PAGE)
        self.text(14, 28, dashboard["title"], 15, weight="bold")
        chosen = "   ".join(f"{variable['label']}: All" for variable in dashboard["templating"]["list"]
                            if variable["type"] == "query" and not variable["hide"])
        self.text(300, 28, chosen, 10, FAINT)
        span = " – ".join(datetime.datetime.fromtimestamp(at).strftime("%H:%M:%S") for at in (start, end))
        self.text(self.width - 14, 28, span, 10, FAINT, ha="right")

    def text(self, x, y, words, size, color=INK, **options):
        self.figure.text(x / self.width, 1 - y / self.height, words, fontsize=size * 0.78, color=color, **options)

    def axes(self, x, y, width, height, color="none"):
        made = self.figure.add_axes((x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height), facecolor=color)
        made.tick_params(colors=FAINT, labelsize=7, length=0)
        for side in made.spines.values():
            side.set_visible(False)
        return made

    def asked(self, panel):
        """(name, times, values) of each series, in the panel's order."""
        result = []
        for target in panel["targets"]:
            step = (self.end - self.start) / 300
            expression = dashboards.fill(target["expr"], self.values, self.rate_interval)
            for one in self.api.query_range(expression, self.start, self.end, step):
                pairs = [(at, float(value)) for at, value in one["values"]]
                result.append((named(target, one["metric"]), *with_gaps(pairs, step)))
        if panel["type"] == "state-timeline":
            return sorted(result)
        return sorted(result, key=lambda series: -max(filter(math.isfinite, series[2]), default=0))

    def draw(self):
        for panel in self.panels:
            place = panel["gridPos"]
            x, y = MARGIN + place["x"] * CELL_WIDTH, self.top + place["y"] * CELL_HEIGHT
            width, height = place["w"] * CELL_WIDTH, place["h"] * CELL_HEIGHT
            if panel["type"] == "row":
                self.text(x + 8, y + 24, f"⌄  {panel['title']}", 13, weight="bold")
                continue
            inside = (x + 3, y + 3, width - 6, height - 6)
            background = self.axes(*inside, color=PANEL)
            background.set_xticks([])
            background.set_yticks([])
            self.text(inside[0] + 10, inside[1] + 21, panel["title"], 12, weight="medium")
            {"stat": self.stat, "timeseries": self.lines, "state-timeline": self.states, "table": self.table,
             "text": self.words}[panel["type"]](panel, *inside)

    def png(self):
        """In a palette of its own, which keeps it small."""
        plain = io.BytesIO()
        self.figure.savefig(plain, facecolor=PAGE, dpi=DPI)
        pyplot.close(self.figure)
        small = io.BytesIO()
        Image.open(plain).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        return small.getvalue()

    def stat(self, panel, x, y, width, height):
        defaults = panel["fieldConfig"]["defaults"]
        name, times, values = (self.asked(panel) or [("", [], [math.nan])])[0]
        last = next((value for value in reversed(values) if math.isfinite(value)), math.nan)
        color = level_color(defaults["thresholds"]["steps"], last)
        self.text(x + width / 2, y + height * 0.62, shown(last, defaults["unit"]), 26, color, ha="center", weight="bold")
        spark = self.axes(x + 1, y + height - 34, width - 2, 33)
        if times:
            spark.plot(times, values, color=color, linewidth=0.8)
            spark.fill_between(times, values, color=color, alpha=0.15)
        spark.set_ylim(bottom=0)
        spark.axis("off")

    def lines(self, panel, x, y, width, height):
        series, defaults = self.asked(panel), panel["fieldConfig"]["defaults"]
        stacked = defaults["custom"]["stacking"]["mode"] == "normal"
        rows = min(len(series), LEGEND_ROWS)
        chart = self.axes(x + 74, y + 36, width - 88, height - 36 - 24 - 17 * rows - 20)
        self.time_axis(chart)
        if stacked:
            stack(chart, series)
        else:
            for number, (_, times, values) in enumerate(series):
                color = COLORS[number % len(COLORS)]
                chart.plot(times, values, color=color, linewidth=1)
                chart.fill_between(times, values, color=color, alpha=0.06, linewidth=0)
        high = max([value for _, _, values in series for value in values if math.isfinite(value)], default=0)
        chart.set_ylim(bottom=0, top=None if high > 0 else 1)
        self.value_axis(chart, defaults["unit"])
        if defaults["custom"]["thresholdsStyle"]["mode"] != "off":
            for step in defaults["thresholds"]["steps"][1:]:
                if step["value"] <= chart.get_ylim()[1]:
                    chart.axhline(step["value"], color=NAMED[step["color"]], linewidth=0.8, linestyle=(0, (6, 4)))
        if not series:
            self.text(x + width / 2, y + height / 2, "No data", 13, FAINT, ha="center")
        self.legend(series, defaults["unit"], x, y + height - 17 * rows - 8, width)

    def legend(self, series, unit, x, y, width):
        if not series:
            return
        self.text(x + width - 88, y - 3, "last", 9, "#5794f2", ha="right")
        self.text(x + width - 12, y - 3, "max", 9, "#5794f2", ha="right")
        for row, (name, _, values) in enumerate(series[:LEGEND_ROWS]):
            at = y + 13 + 17 * row
            more = f"   (+{len(series) - LEGEND_ROWS} more)" if row == LEGEND_ROWS - 1 and len(series) > LEGEND_ROWS else ""
            self.text(x + 12, at, "━", 10, COLORS[row % len(COLORS)])
            self.text(x + 32, at, name + more, 10)
            numbers = [value for value in values if math.isfinite(value)] or [math.nan]
            self.text(x + width - 88, at, shown(numbers[-1], unit), 10, ha="right")
            self.text(x + width - 12, at, shown(max(numbers), unit), 10, ha="right")

    def time_axis(self, chart):
        chart.set_xlim(self.start, self.end)
        ticks = [at for at in range(int(self.start), int(self.end)) if at % 60 == 0]
        chart.set_xticks(ticks, [datetime.datetime.fromtimestamp(at).strftime("%H:%M") for at in ticks])
        chart.grid(color=GRID, linewidth=0.6)
        chart.set_axisbelow(True)

    def value_axis(self, chart, unit):
        if unit == "bytes":
            step = 2 ** max(20, math.ceil(math.log2(max(chart.get_ylim()[1], 1) / 5)))
            chart.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step))
        else:
            chart.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=unit == "none" and chart.get_ylim()[1] >= 4))
        ticks = [tick for tick in chart.get_yticks() if 0 <= tick <= chart.get_ylim()[1] * 1.001]
        chart.set_yticks(ticks, [shown(round(tick, 9), unit) for tick in ticks])

    def states(self, panel, x, y, width, height):
        series = self.asked(panel)
        chart = self.axes(x + 130, y + 36, width - 146, height - 36 - 46)
        self.time_axis(chart)
        levels = [mapping["options"] for mapping in panel["fieldConfig"]["defaults"]["mappings"]]
        for row, (_, times, values) in enumerate(series):
            for begin, end, low in runs(times, values, levels, self.end):
                chart.barh(row, end - begin, left=begin, height=0.8, color=NAMED[low["result"]["color"]], alpha=0.75)
                if (end - begin) / (self.end - self.start) * width > 40 + 6 * len(low["result"]["text"]):
                    chart.text(begin + (self.end - self.start) * 0.006, row, low["result"]["text"], fontsize=7.5, color="#0b0c0e", va="center")
        chart.set_yticks(range(len(series)), [name for name, _, _ in series])
        chart.set_ylim(len(series) - 0.5, -0.5)
        for number, level in enumerate(levels):
            self.text(x + 14 + 190 * number, y + height - 10, "■ ", 11, NAMED[level["result"]["color"]])
            self.text(x + 32 + 190 * number, y + height - 10, level["result"]["text"], 10)

    def table(self, panel, x, y, width, height):
        organize = panel["transformations"][1]["options"]["renameByName"]
        unit = panel["fieldConfig"]["overrides"][0]["properties"][0]["value"]
        expression = dashboards.fill(panel["targets"][0]["expr"], self.values, self.rate_interval)
        found = sorted(self.api.query(expression, self.end), key=lambda one: str(one["metric"]))
        shares = [0.0, *(0.46 + 0.54 * at / (len(organize) - 1) for at in range(len(organize) - 1))]
        for share, title in zip(shares, organize.values()):
            self.text(x + 14 + share * (width - 20), y + 48, title, 10, "#5794f2", weight="bold")
        for row, one in enumerate(found[: int((height - 60) / 24)]):
            for share, label in zip(shares, organize):
                words = shown(float(one["value"][1]), unit) if label == "Value" else one["metric"].get(label, "")
                self.text(x + 14 + share * (width - 20), y + 74 + 24 * row, words, 11)
        if not found:
            self.text(x + width / 2, y + height / 2 + 10, panel["fieldConfig"]["defaults"]["noValue"], 12, FAINT, ha="center")

    def words(self, panel, x, y, width, height):
        self.text(x + 14, y + height / 2 + 5, panel["options"]["content"].replace("`", ""), 11)


def with_gaps(pairs, step):
    """A line breaks where values are missing."""
    times, values = [], []
    for at, value in pairs:
        if times and at - times[-1] > 1.5 * step:
            times.append(times[-1] + step)
            values.append(math.nan)
        times.append(at)
        values.append(value)
    return times, values


def stack(chart, series):
    everywhere = sorted({at for _, times, _ in series for at in times})
    base = [0.0] * len(everywhere)
    for number, (_, times, values) in enumerate(series):
        known = {at: value for at, value in zip(times, values) if math.isfinite(value)}
        top = [low + known.get(at, 0.0) for at, low in zip(everywhere, base)]
        color = COLORS[number % len(COLORS)]
        chart.fill_between(everywhere, base, top, color=color, alpha=0.35, linewidth=0)
        chart.plot(everywhere, top, color=color, linewidth=0.8)
        base = top


def level_color(steps, value):
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED[reached[-1]]


def runs(times, values, levels, end):
    """Spans of one level after the other: (begin, end, level)."""
    found = []
    for at, value in zip(times, values):
        level = next((one for one in levels if one["from"] <= value <= one["to"]), levels[-1])
        if found and found[-1][2] is level:
            continue
        if found:
            found[-1][1] = at
        found.append([at, end, level])
    return found


def draw(api, dashboard, path, start, end, rate_interval):
    page = Page(api, dashboard, start, end, rate_interval)
    page.draw()
    path.write_bytes(page.png())
