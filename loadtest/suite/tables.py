"""Text tables and numbers for people. Pure."""

UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def number(value):
    """Three digits: 0.0123, 4.56, 789, 12.3 k, 4.56 M."""
    for size, unit in UNITS:
        if abs(value) >= size * 0.9995:
            return f"{digits(value / size)}{unit}"
    return digits(value)


def digits(value):
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.9995 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"


def render(header, rows, left=1):
    """Aligned columns: the first `left` of them to the left, numbers to the right."""
    lines = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths))
        ]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text) + "\n"
