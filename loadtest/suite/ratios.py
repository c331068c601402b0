"""Ratios: what is divided by what, the goals, and how a run is judged. Pure: no clock, no process, no file.

A round is a dict from the name of a cell to its figures. A ratio is taken inside each round, where both sides
ran under the same conditions, and only then is the median taken over the rounds.
"""

import statistics
from typing import NamedTuple, Optional

FALLEN_BEHIND = 0.8  # Of the recorded ratio: a fifth is lost.


class Figure(NamedTuple):
    cell: str
    key: str


class Ratio(NamedTuple):
    name: str
    goal: str  # Number of the goal; empty for what has none.
    what: str
    figure: Figure
    bases: tuple  # Of Figure; added up.
    passes: Optional[float] = None
    aim: Optional[float] = None
    lower_is_better: bool = False


class Measured(NamedTuple):
    value: float
    low: float
    high: float
    figure: float
    base: float


class Finding(NamedTuple):
    name: str
    message: str


def at(figure, cells):
    return cells[figure.cell][figure.key]


def base_of(ratio, cells):
    return sum(at(base, cells) for base in ratio.bases)


def measured(ratio, rounds):
    """Medians over the rounds, and the span of the ratio."""
    values = [at(ratio.figure, cells) / base_of(ratio, cells) for cells in rounds]
    return Measured(
        statistics.median(values),
        min(values),
        max(values),
        statistics.median(at(ratio.figure, cells) for cells in rounds),
        statistics.median(base_of(ratio, cells) for cells in rounds),
    )


def cells_of(ratios):
    """The cells that these ratios need, each once, in the order of their first use."""
    figures = (figure for ratio in ratios for figure in (ratio.figure, *ratio.bases))
    return list(dict.fromkeys(figure.cell for figure in figures))


def reaches(ratio, value, goal):
    return value <= goal if ratio.lower_is_better else value >= goal


def verdict(ratio, value):
    if ratio.passes is None:
        return ""
    if reaches(ratio, value, ratio.aim):
        return "aim reached"
    return "pass" if reaches(ratio, value, ratio.passes) else "BEHIND"


def kept(ratio, value, recorded):
    """How much of the recorded ratio is left: 1 is all of it, more is a gain."""
    return recorded / value if ratio.lower_is_better else value / recorded


def suspects(ratios, results, recorded):
    """The ratios that lost more than a fifth of what is recorded."""
    return [
        ratio
        for ratio in ratios
        if ratio.name in recorded
        and kept(ratio, results[ratio.name].value, recorded[ratio.name]) < FALLEN_BEHIND
    ]


def findings(ratios, results, recorded):
    """What a check has to say: ratios that fell behind, and those that nobody recorded."""
    found = [
        Finding(ratio.name, "is not recorded: run ./dev load --record")
        for ratio in ratios
        if ratio.name not in recorded
    ]
    for ratio in suspects(ratios, results, recorded):
        now, before = results[ratio.name], recorded[ratio.name]
        left = kept(ratio, now.value, before)
        found.append(
            Finding(
                ratio.name,
                f"is {now.value:.3g} ({now.low:.3g} to {now.high:.3g}), recorded as {before:.3g}: "
                f"{1 - left:.0%} behind",
            )
        )
    return found


def recorded_text(ratios, results, machine, command):
    """The file of recorded ratios."""
    lines = [
        "# What ./dev load --check compares with, written by ./dev load --record: medians and their span.",
        f'machine: "{machine}"',
        f'command: "{command}"',
        "ratios:",
    ]
    for ratio in ratios:
        now = results[ratio.name]
        lines.append(f"  {ratio.name}: {now.value:.4g}  # {now.low:.3g} to {now.high:.3g}; {ratio.what}")
    return "\n".join(lines) + "\n"


def parse_recorded(text):
    """Name to ratio, from the text of the file. Raises ValueError with the line that is wrong."""
    recorded, inside = {}, False
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#", 1)[0].rstrip() if inside else line.rstrip()
        if content == "ratios:":
            inside = True
        elif inside and content:
            name, colon, value = content.strip().partition(":")
            try:
                ratio = float(value)
            except ValueError:
                ratio = 0
            if not colon or not name or ratio <= 0:
                raise ValueError(f"line {number}: expected a name and a ratio above 0, got: {line}")
            recorded[name] = ratio
    return recorded
