"""Tells the line coverage of each folder of core/, and demands all of it where a missed line may lose somebody's data.

    report.py build/coverage/report/coverage.json

reads what gcovr --json has written. In the folders and files of STRICT every line is covered or listed in exceptions.txt:

    core/txn/commit.cc: return absl::InternalError("no such branch");
      Why no test can reach it.

A line is named by its text, so that it may move; an entry excuses one. One that some runs reach and others do not begins with "sometimes ". An
exception whose line is covered, or is not there any more, fails as well. Exit code 1: a line is missed or an exception is wrong.
"""

import collections
import json
import pathlib
import sys
from typing import NamedTuple

REPO = pathlib.Path(__file__).resolve().parents[2]
EXCEPTIONS = pathlib.Path(__file__).with_name("exceptions.txt")
# The engine's files are those that run transactions and tell what became of them.
STRICT = ("core/routing/", "core/plan/", "core/merge/", "core/txn/", "core/engine/across_write.cc", "core/engine/outcome.cc",
          "core/engine/write.cc")
SOMETIMES = "sometimes "


class Line(NamedTuple):
    path: str
    number: int
    text: str
    covered: bool

    @property
    def folder(self):
        return self.path.rpartition("/")[0]

    @property
    def strict(self):
        return self.path.startswith(STRICT)

    def __str__(self):
        return f"{self.path}:{self.number}: {self.text}"


class Listed(NamedTuple):
    """One of the exceptions."""

    number: int
    path: str
    text: str
    sometimes: bool


class ReportError(Exception):
    """What of the files that are read is wrong."""


def read_lines(report, root):
    """The lines of core/ that can run, as gcovr counted them."""
    lines = []
    for file in report["files"]:
        if not file["file"].startswith("core/"):
            continue
        source = (root / file["file"]).read_text(encoding="utf-8").split("\n")
        for line in file["lines"]:
            if line.get("gcovr/noncode") or line.get("gcovr/excluded"):
                continue
            number = line["line_number"]
            if number > len(source):
                raise ReportError(f"{file['file']} has no line {number}: the report is of another state of the tree; make it anew")
            lines.append(Line(file["file"], number, source[number - 1].strip(), line["count"] > 0))
    if not lines:
        raise ReportError("the report has no line of core/: run ./dev coverage")
    return lines


def read_exceptions(text):
    """Their entries; each is a line and, indented below it, the reason."""
    entries, reasons = [], set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            if not entries:
                raise ReportError(f"exceptions.txt:{number}: a reason without a line above it")
            reasons.add(entries[-1].number)
            continue
        sometimes = line.startswith(SOMETIMES)
        path, mark, code = line.removeprefix(SOMETIMES).partition(": ")
        if not mark or not code.strip():
            raise ReportError(f'exceptions.txt:{number}: not understood; an entry is "path: text of the line", below it the reason')
        if not path.startswith(STRICT):
            raise ReportError(f"exceptions.txt:{number}: {path} is in none of {', '.join(STRICT)}, where alone every line counts")
        entries.append(Listed(number, path, code.strip(), sometimes))
    for entry in entries:
        if entry.number not in reasons:
            raise ReportError(f"exceptions.txt:{entry.number}: says no reason; write it indented below")
    return entries


def judge(lines, exceptions):
    """(missed lines, what is wrong with exceptions, how many lines are excepted by folder)."""
    listed = collections.Counter((entry.path, entry.text) for entry in exceptions)  # Each excuses one line.
    missed, excepted = [], collections.Counter()
    for line in lines:
        if line.covered or not line.strict:
            continue
        if listed[line.path, line.text] > 0:
            listed[line.path, line.text] -= 1
            excepted[line.folder] += 1
        else:
            missed.append(line)
    uncovered = collections.Counter((line.path, line.text) for line in lines if not line.covered)
    known = {(line.path, line.text) for line in lines}
    wrong = []
    for entry in exceptions:
        where = f"exceptions.txt:{entry.number}: {entry.path}: {entry.text}"
        if (entry.path, entry.text) not in known:
            wrong.append(f"{where}: no such line of code any more; remove it")
        elif uncovered[entry.path, entry.text] > 0:
            uncovered[entry.path, entry.text] -= 1
        elif not entry.sometimes:
            wrong.append(f"{where}: is covered now; remove it")
    return missed, wrong, excepted


def percent(covered, total):
    """Never 100.0 when one is missing."""
    return f"{int(1000 * covered / total) / 10:.1f}"


def table(lines, excepted):
    totals, covered = collections.Counter(), collections.Counter()
    for line in lines:
        totals[line.folder] += 1
        covered[line.folder] += line.covered
    rows = [("folder", "lines", "covered", "%", "exceptions", "")]
    for folder in sorted(totals):
        strict = "every line" if f"{folder}/" in STRICT else ""
        rows.append((folder, totals[folder], covered[folder], percent(covered[folder], totals[folder]), excepted[folder] or "", strict))
    total, all_covered = sum(totals.values()), sum(covered.values())
    rows.append(("core", total, all_covered, percent(all_covered, total), sum(excepted.values()) or "", ""))
    return "\n".join(f"{row[0]:24} {row[1]:>7} {row[2]:>8} {row[3]:>6} {row[4]:>10}  {row[5]}".rstrip() for row in rows)


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    try:
        report = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))
        lines = read_lines(report, REPO)
        exceptions = read_exceptions(EXCEPTIONS.read_text(encoding="utf-8"))
    except (OSError, ValueError, ReportError) as error:
        sys.exit(f"coverage: {error}")
    missed, wrong, excepted = judge(lines, exceptions)
    print(table(lines, excepted))
    for line in missed:
        print(f"not covered: {line}")
    for words in wrong:
        print(words)
    if missed or wrong:
        print(f"coverage: {len(missed)} lines are missed and {len(wrong)} exceptions are wrong: write tests for the lines, or list "
              "what no test can reach in tests/coverage/exceptions.txt with its reason")
    return 1 if missed or wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
