"""Runs the matrix: the cluster tests over databases, numbers of shards and compilers; sanitizers; lint; coverage.

Each cell is one ./dev command, which is printed and can be run alone. What a cell says is kept in build/matrix/<cell>.log.
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
from typing import NamedTuple

REPO = pathlib.Path(__file__).resolve().parents[2]
LOGS = REPO / "build" / "matrix"
DATABASES = ("sqlite", "postgres", "replicated")
SHARDS = (2, 4, 8)
PRESETS = {"gcc": "debug", "clang": "clang"}
LOG_LINES = 30  # Of a cell that failed, shown at once.


class Cell(NamedTuple):
    """One command, and what it is about."""

    name: str
    group: str
    command: tuple
    environment: tuple = ()
    database: str = ""
    shards: int = 0
    compiler: str = ""

    def shown(self):
        variables = [f"{name}={value}" for name, value in self.environment]
        return shlex.join([*variables, *self.command])


def cells():
    """Every cell, in the order in which they run: those of one build beside each other."""
    listed = []
    for compiler, preset in PRESETS.items():
        for database in DATABASES:
            for shards in SHARDS:
                command = ("./dev", "test", "--preset", preset, "--target", "cluster_tests", "-L", "cluster")
                # The filter leaves out tests that bring a cluster of their own: it would be the same in every cell.
                environment = (("QUARRY_TEST_DATABASE", database), ("QUARRY_TEST_SHARDS", str(shards)),
                               ("GTEST_FILTER", f"*/{database}{shards}"))
                listed.append(Cell(f"{database}-{shards}-{compiler}", "databases", command, environment, database, shards, compiler))
    for preset, compiler in (("asan", "gcc"), ("tsan", "clang")):
        listed.append(Cell(preset, "sanitizers", ("./dev", "test", "--preset", preset), compiler=compiler))
    listed.append(Cell("lint", "lint", ("./dev", "lint", "--tidy")))
    listed.append(Cell("coverage", "coverage", ("./dev", "coverage"), compiler="gcc"))
    return listed


def chosen(options):
    """The cells that every given option takes; without any, all."""

    def takes(cell):
        return (
            (not options.only or cell.group in options.only or cell.name in options.only)
            and (not options.database or cell.database in options.database)
            and (not options.shards or cell.shards in options.shards)
            and (not options.compiler or cell.compiler in options.compiler)
        )

    return [cell for cell in cells() if takes(cell)]


def parse(arguments):
    groups = list(dict.fromkeys(cell.group for cell in cells()))
    names = [cell.name for cell in cells()]
    parser = argparse.ArgumentParser(prog="./dev matrix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="Each option may be repeated, and narrows the choice. Exit code 1: a cell failed.")
    parser.add_argument("--list", action="store_true", help="tell the cells that are chosen and their commands; run nothing")
    parser.add_argument("--only", action="append", choices=groups + names, metavar="group|cell",
                        help=f"cells of a group ({', '.join(groups)}), or one cell by its name")
    parser.add_argument("--database", action="append", choices=DATABASES, help="PostgreSQL alone or with streaming replicas, or SQLite")
    parser.add_argument("--shards", action="append", type=int, choices=SHARDS)
    parser.add_argument("--compiler", action="append", choices=list(PRESETS))
    options = parser.parse_args(arguments)
    options.cells = chosen(options)
    if not options.cells:
        parser.error("no cell is all of that; ./dev matrix --list tells what there is")
    return options


def run(cell):
    """(exit code, seconds), with the output in the cell's log."""
    began = time.monotonic()
    with open(LOGS / f"{cell.name}.log", "w", encoding="utf-8") as log:
        log.write(f"+ {cell.shown()}\n")
        log.flush()
        done = subprocess.run(cell.command, cwd=REPO, env=os.environ | dict(cell.environment), stdin=subprocess.DEVNULL,
                              stdout=log, stderr=subprocess.STDOUT, check=False)
    return done.returncode, time.monotonic() - began


def tests_in(log):
    """What ctest counted in a log, "" where it did not run."""
    found = re.findall(r"tests passed, (\d+) tests? failed out of (\d+)", log)
    if not found:
        return ""
    failed, total = map(int, found[-1])
    return f"{total - failed}/{total}"


def seconds(number):
    return f"{number:.0f} s" if number < 120 else f"{number / 60:.1f} min"


def table(results):
    """The summary: one line a cell."""
    rows = [("cell", "result", "time", "tests", "log")]
    for cell, code, took, tests in results:
        result = "ok" if code == 0 else f"FAILED ({code})"
        rows.append((cell.name, result, seconds(took), tests, f"build/matrix/{cell.name}.log"))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)


def main(arguments):
    options = parse(arguments)
    if options.list:
        for cell in options.cells:
            print(f"{cell.name:20} {cell.shown()}")
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    results = []
    for cell in options.cells:
        print(f"==> {cell.name}: {cell.shown()}", flush=True)
        code, took = run(cell)
        log = (LOGS / f"{cell.name}.log").read_text(encoding="utf-8", errors="replace")
        results.append((cell, code, took, tests_in(log)))
        if code != 0:
            print(*log.splitlines()[-LOG_LINES:], sep="\n", flush=True)
    print("\n" + table(results))
    return 0 if all(code == 0 for _, code, _, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
