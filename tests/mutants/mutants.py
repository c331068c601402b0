"""Plants each known bug in a copy of the tree and demands that the tests named for it turn red.

A mutant is a file <name>.patch: a head, then a unified diff against the tree.
  Breaks: in words, what is broken.
  Test: <target> [<gtest filter>]     one line for each test that must turn red alone
  Env: NAME=VALUE                     of those tests; may be left out, may stand several times
Tests must be green without the mutant: that is shown first. A mutant that does not apply or compile is an error.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
HEAD = re.compile(r"^(Breaks|Test|Env): *(.*)$")


class MutantError(Exception):
    """What is wrong with a mutant, or with the tree that it is planted in."""


class Test(NamedTuple):
    target: str
    filter: str


class Mutant(NamedTuple):
    name: str
    breaks: str
    tests: tuple
    environment: tuple
    diff: str


def parse(name, text):
    """The mutant in the text of its file; MutantError for what is missing or not understood."""
    head, mark, diff = text.partition("--- ")
    breaks, tests, environment = "", [], []
    for number, line in enumerate(head.splitlines(), start=1):
        match = HEAD.match(line)
        if match is None:
            if line.strip():
                raise MutantError(f"{name}.patch:{number}: not understood; the head has Breaks:, Test: and Env: lines")
            continue
        key, value = match.group(1), match.group(2).strip()
        if key == "Breaks":
            breaks = value
        elif key == "Test":
            target, _, gtest_filter = value.partition(" ")
            tests.append(Test(target, gtest_filter.strip() or "*"))
        else:
            environment.append(tuple(value.split("=", 1)))
    if not breaks or not tests or not mark:
        raise MutantError(f"{name}.patch needs a Breaks: line, a Test: line and a unified diff")
    return Mutant(name, breaks, tuple(tests), tuple(environment), mark + diff)


def load(names=()):
    """Mutants by name, all without names."""
    known = sorted(file[: -len(".patch")] for file in os.listdir(HERE) if file.endswith(".patch"))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MutantError(f"no mutant is called {', '.join(unknown)}; there are {', '.join(known)}")
    mutants = []
    for name in names or known:
        with open(os.path.join(HERE, name + ".patch"), encoding="utf-8") as file:
            mutants.append(parse(name, file.read()))
    return mutants


def apply(mutant, tree, *options):
    """Plants it in `tree`; with "--check" only tries, with "--reverse" takes it out."""
    done = subprocess.run(
        ["git", "apply", *options, "-"], cwd=tree, input=mutant.diff, text=True, capture_output=True, check=False,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": os.path.dirname(tree)},
    )
    if done.returncode != 0:
        raise MutantError(f"{mutant.name}.patch does not fit the tree any more; make it anew:\n{done.stderr.strip()}")


def copy_tree(target):
    """Brings `target` up to what is in the tree now, and leaves alone what is the same, so that little is built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    files = {path for path in listed.stdout.split("\0") if path and os.path.isfile(os.path.join(ROOT, path))}
    for folder, names, leaves in os.walk(target):
        names[:] = [name for name in names if os.path.relpath(os.path.join(folder, name), target) != "build"]
        for leaf in leaves:
            if os.path.relpath(os.path.join(folder, leaf), target) not in files:
                os.remove(os.path.join(folder, leaf))
    for path in sorted(files):
        source, copy = os.path.join(ROOT, path), os.path.join(target, path)
        if os.path.exists(copy):
            with open(source, "rb") as one, open(copy, "rb") as other:
                if one.read() == other.read():
                    continue
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy(source, copy)


class Bench:
    """A copy of the tree, its build, and what to run there."""

    def __init__(self, jobs, seeds):
        self.tree = os.path.join(ROOT, "build", "mutants")
        self.build = os.path.join(self.tree, "build", "debug")
        self.jobs, self.seeds = jobs, seeds
        os.makedirs(self.tree, exist_ok=True)
        copy_tree(self.tree)
        self._run(["cmake", "--preset", "debug"], "configuring")

    def _run(self, command, doing):
        done = subprocess.run(command, cwd=self.tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise MutantError(f"{doing} failed:\n{done.stdout[-4000:]}")

    def compile(self, targets, doing):
        self._run(["ninja", "-C", self.build, "-j", str(self.jobs), *sorted(targets)], doing)

    def run(self, test, environment):
        """(green, output)."""
        variables = {"QUARRY_SIM_SEEDS": str(self.seeds), "GTEST_FILTER": test.filter} | dict(environment)
        done = subprocess.run(
            ["ctest", "--test-dir", self.build, "--verbose", "--no-tests=error", "-R", f"^{test.target}$"],
            env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        if re.search(r"Running 0 tests|No tests were found", done.stdout):
            raise MutantError(f"{test.target} has no test that matches {test.filter}")
        return done.returncode == 0, done.stdout


def show_green(bench, mutants):
    wanted = {(test, mutant.environment) for mutant in mutants for test in mutant.tests}
    bench.compile({test.target for test, _ in wanted}, "building the tests")
    for test, environment in sorted(wanted):
        green, output = bench.run(test, environment)
        if not green:
            raise MutantError(f"{test.target} {test.filter} is red without any mutant:\n{output[-4000:]}")
    print(f"green without a mutant: {len(wanted)} tests", flush=True)


def survivors_of(bench, mutant):
    """Tests that do not notice it."""
    apply(mutant, bench.tree)
    try:
        bench.compile({test.target for test in mutant.tests}, f"building with {mutant.name}")
        return [test for test in mutant.tests if bench.run(test, mutant.environment)[0]]
    finally:
        apply(mutant, bench.tree, "--reverse")


def main():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="mutants to plant; all when none is named")
    parser.add_argument("--list", action="store_true", help="tell what there is, and plant nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at a time")
    parser.add_argument("--seeds", type=int, default=50_000, help="seeds of each simulation (50,000)")
    options = parser.parse_args()
    mutants = load(options.names)
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:32} {mutant.breaks}")
        return 0
    bench = Bench(options.jobs, options.seeds)
    show_green(bench, mutants)
    alive = 0
    for mutant in mutants:
        missed = survivors_of(bench, mutant)
        alive += 1 if missed else 0
        told = "; ".join(f"{test.target} {test.filter} stays green" for test in missed)
        print(f"{'ALIVE' if missed else 'killed':7} {mutant.name}{': ' + told if told else ''}", flush=True)
    print(f"{len(mutants) - alive} of {len(mutants)} mutants killed")
    return 1 if alive else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MutantError as error:
        sys.exit(f"mutants: {error}")
