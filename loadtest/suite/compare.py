"""Measures ratios in interleaved rounds, shows them in one table, checks and records them."""

import json
import sys

import goals
import ratios
import stand as stands
import tables


def figures_of(name, cell):
    """Tries twice: calls fail, too, when the whole machine was suspended for a while."""
    try:
        return cell()
    except stands.Failed as failure:
        print(f"{name} failed and is tried once more: {failure}", file=sys.stderr, flush=True)
    try:
        return cell()
    except stands.Failed as failure:
        raise stands.Failed(f"{name} failed twice: {failure}") from failure


def measure(cells, names, rounds):
    """One dict of figures for each round: every cell once, then again, so that a slow minute meets them all."""
    results = []
    for turn in range(rounds):
        results.append({name: figures_of(name, cells[name]) for name in names})
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return results


def shown(now):
    """Figure, base, ratio and its span."""
    span = f"{tables.digits(now.low)} - {tables.digits(now.high)}"
    return tables.number(now.figure), tables.number(now.base), tables.digits(now.value), span


def table_of(chosen, results):
    """The one table: what, figure, ratio, goal, verdict."""
    header = ("goal", "what", "figure", "of", "ratio", "span", "pass, aim", "verdict")
    rows = []
    for ratio in chosen:
        now, limit = results[ratio.name], "<= " if ratio.lower_is_better else ""
        wanted = f"{limit}{ratio.passes:g}, {ratio.aim:g}" if ratio.passes is not None else ""
        rows.append((ratio.goal, ratio.what, *shown(now), wanted, ratios.verdict(ratio, now.value)))
    return header, rows


def checked(chosen, results, recorded, again):
    """What fell behind, and the results, after the suspects were measured again.

    `again` takes ratios and returns their results.
    """
    doubted = ratios.suspects(chosen, results, recorded)
    if doubted:
        names = ", ".join(ratio.name for ratio in doubted)
        print(f"measuring again, with more rounds: {names}", file=sys.stderr, flush=True)
        results = {**results, **again(doubted)}
    return ratios.findings(chosen, results, recorded), results


def save(path, machine, command, rounds, results):
    report = {"machine": machine, "command": command, "rounds": rounds,
              "ratios": {name: now._asdict() for name, now in results.items()}}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def banner(machine, options):
    return f"{machine}\n{options.command}: medians over the rounds, seconds are those of a cell"


def run(programs, chosen, options, file):
    """The short run. Returns the exit code."""
    rounds, found = [], []

    def results_of(some, count):
        more = measure(served.cells(), ratios.cells_of(some), count)
        rounds.extend(more)
        return {ratio.name: ratios.measured(ratio, more) for ratio in some}

    recorded = ratios.parse_recorded(file.read_text(encoding="utf-8")) if options.check else {}
    with goals.servers(programs) as served:
        results = results_of(chosen, options.rounds)
        if options.check:
            more = 2 * options.rounds + 1
            found, results = checked(chosen, results, recorded, lambda some: results_of(some, more))
    machine = stands.machine()
    print(banner(machine, options))
    print("Writes are durable: fsync and synchronous_commit on, SQLite in WAL mode with synchronous=FULL.\n")
    print(tables.render(*table_of(chosen, results), left=2))
    if options.json:
        save(options.json, machine, options.command, rounds, results)
    if options.record:
        file.write_text(ratios.recorded_text(chosen, results, machine, options.command), encoding="utf-8")
    for finding in found:
        print(f"{finding.name} {finding.message}")
    return 1 if found else 0
