#!/usr/bin/env python3
"""Measures Quarry beside a bare gRPC echo, pgbench, libpq and SQLite of the same run.

Starts everything itself, on free ports and in a temporary folder, and prints one table of ratios after about
five minutes. Absolute figures change from machine to machine and from hour to hour; the ratios are what counts.
"""

import argparse
import os
import pathlib
import re
import shlex
import sys
import tempfile

import compare
import goals
import growth
import programs
import queries
import settings
import sharding
import stand as stands
import transactions

PARTS = ("growth", "sharding", "queries", "settings", "transactions")  # Runs of their own.
RECORDED = pathlib.Path(__file__).resolve().parents[1] / "ratios.yaml"


def parser():
    page = stands.REPO / "build/load-growth.html"
    top = argparse.ArgumentParser(prog="./dev load", description=__doc__)
    add = top.add_argument
    add("--only", type=re.compile, default=re.compile(""), metavar="REGEX",
        help="only the ratios, or series, whose name matches")
    add("--rounds", type=int, help="rounds of interleaved cells: 5, or 3 with --sharding, --queries, --settings and --transactions")
    add("--seconds", type=float, default=2, help="time of each cell: 2")
    add("--json", type=pathlib.Path, metavar="FILE", help="write every figure there")
    add("--check", action="store_true", help="fail when a ratio is over a fifth behind loadtest/ratios.yaml")
    add("--record", action="store_true", help="write loadtest/ratios.yaml")
    add("--growth", action="store_true", help="instead: how cost grows with shards, calls in flight, size of rows "
        "and batches, streams, connections, transactions and tables; takes ten minutes")
    add("--quick", action="store_true", help="--growth: fewer points, less time for each")
    add("--html", type=pathlib.Path, metavar="FILE", default=page,
        help="--growth: where the page with plots goes: build/load-growth.html")
    add("--sharding", action="store_true", help="instead: one database directly against 1, 2, 4 and 8 shards")
    add("--settings", action="store_true", help="instead: what single settings change")
    add("--queries", action="store_true", help="instead: questions over eight shards against the same on one")
    add("--transactions", action="store_true", help="instead: commits over several shards, snapshots, forwarded calls")
    add("--rows", type=int, default=1_000_000, help="--queries: rows of the table: 1000000")
    add("--build", type=pathlib.Path, default=stands.REPO / "build/release", help=argparse.SUPPRESS)
    return top


def arguments():
    top = parser()
    options = top.parse_args()
    others = [name for name in PARTS if getattr(options, name)]
    if len(others) > 1:
        top.error(f"--{' and --'.join(others)} are runs of their own")
    if (options.check or options.record) and others:
        top.error("--check and --record are about the ratios")
    if options.rows < 100_000:
        top.error("--rows is at least 100000")
    if options.record and options.only.pattern:
        top.error("--record records all ratios: leave out --only")
    if options.rounds is None:
        options.rounds = 3 if others else 5
    if options.rounds < 1 or options.seconds <= 0:
        top.error("--rounds and --seconds are above 0")
    options.command = command_of(options)
    if not options.growth and not any(options.only.search(name) for name in names(options)):
        top.error(f"nothing matches --only; there are {', '.join(names(options))}")
    return options


def command_of(options):
    """What to type for the same measurement."""
    flags = [f"--{name}" for name in ("check", "record", "quick", *PARTS) if getattr(options, name)]
    only = ["--only", shlex.quote(options.only.pattern)] if options.only.pattern else []
    rounds = [] if options.growth else ["--rounds", str(options.rounds)]
    rows = ["--rows", str(options.rows)] if options.queries else []
    return " ".join(["./dev load", *flags, *only, *rows, *rounds, "--seconds", f"{options.seconds:g}"])


def names(options):
    if options.queries:
        return [ratio.name for ratio in queries.RATIOS]
    if options.settings:
        return [ratio.name for ratio in settings.ratio_list()]
    if options.transactions:
        return [ratio.name for ratio in transactions.RATIOS]
    return [ratio.name for ratio in (sharding.ratio_list() if options.sharding else goals.RATIOS)]


def warn_when_busy():
    load, cores = os.getloadavg()[0], os.cpu_count()
    if load > 0.5 * cores:
        print(f"the machine is busy, with a load of {load:.1f} on {cores} cores: figures will be off",
              file=sys.stderr)


def main():
    options = arguments()
    warn_when_busy()
    with tempfile.TemporaryDirectory(prefix="quarry-load-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user.
        run = programs.Programs(stands.Stand(options.build.resolve(), folder), options.seconds)
        if options.growth:
            return growth.run(run, options)
        if options.sharding:
            return sharding.run(run, options)
        if options.queries:
            return queries.run(run, options)
        if options.settings:
            return settings.run(run, options)
        if options.transactions:
            return transactions.run(run, options)
        chosen = [ratio for ratio in goals.RATIOS if options.only.search(ratio.name)]
        return compare.run(run, chosen, options, RECORDED)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except stands.Failed as failure:
        sys.exit(f"./dev load: {failure}")
