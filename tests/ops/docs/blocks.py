"""The shell blocks of README.md, docs/ and the chart's page, and what the comments above them say about how they are run.

A block that begins with ```sh, ```bash or ```console is run by commands_test.py, in order with the others of its page. A comment in
the lines right above says otherwise:

    <!-- not run: it takes an hour -->                   why nobody runs it
    <!-- run by tests/integration/clients/a_test.sh -->  another test does
    <!-- run in the background -->                       it serves until the page ends
    <!-- run while the server is stopped -->             which is started again after it
    <!-- first: printf … > orders.csv -->                what it takes for granted, done before
    <!-- with ID: quarryctl … -->                        the word ID stands for what this prints

<!-- page run by tests/… --> above a page's first block says so of all its blocks. In ```console only the lines after "$ " are commands.
"""

import pathlib
import re
from typing import NamedTuple

REPO = pathlib.Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^( *)```(sh|bash|console)\s*$")
PAGE = re.compile(r"^page run by (.+)$")
COMMENT = re.compile(r"^ *<!-- *(.*?) *-->\s*$")
MARKS = re.compile(r"^(not run|run by|run in the background|run while the server is stopped|first:|with) ?(.*)$")
WORD = re.compile(r"^([A-Z]+): (.+)$")


class BlockError(Exception):
    """What of a page is not understood."""


class Block(NamedTuple):
    page: str
    line: int
    commands: str
    not_run: str = ""
    run_by: str = ""
    background: bool = False
    stopped: bool = False
    first: tuple = ()  # Commands.
    words: tuple = ()  # (word, command that prints what it stands for)

    def __str__(self):
        return f"{self.page}:{self.line}"

    @property
    def runs_here(self):
        return not self.not_run and not self.run_by


def pages():
    """README.md, CONTRIBUTING.md, the chart's page and all of docs/, as paths from the root."""
    found = [REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "helm/quarry/README.md", *(REPO / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(REPO)) for path in found)


def file_in_tree(where, path):
    if not (REPO / path).is_file():
        raise BlockError(f"{where}: no file {path}")
    return path


def marks_of(where, comments, run_by):
    """The fields of a block that the comments above it set; `run_by` is the page's."""
    fields, first, words = {"run_by": run_by}, [], []
    for comment in comments:
        match = MARKS.match(comment)
        if match is None:
            continue  # A comment for people.
        mark, rest = match.groups()
        if mark == "not run":
            fields |= {"not_run": rest.removeprefix(":").strip(), "run_by": ""}
            if not rest.startswith(":") or not fields["not_run"]:
                raise BlockError(f'{where}: say why: "not run: reason"')
        elif mark == "run by":
            fields["run_by"] = file_in_tree(where, rest)
        elif mark == "first:":
            first.append(rest)
        elif mark == "with":
            word = WORD.match(rest)
            if word is None:
                raise BlockError(f'{where}: not understood; write "with WORD: command"')
            words.append(word.groups())
        else:
            fields["background" if mark == "run in the background" else "stopped"] = True
    return fields | {"first": tuple(first), "words": tuple(words)}


def commands_of(language, lines):
    if language != "console":
        return "\n".join(lines)
    return "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def blocks(page, text):
    """The shell blocks of a page, in order."""
    found, lines, comments, at, run_by = [], text.split("\n"), [], 0, ""
    while at < len(lines):
        fence, comment = FENCE.match(lines[at]), COMMENT.match(lines[at])
        if fence:
            first, indent = at + 1, len(fence.group(1))
            end = next((i for i in range(first, len(lines)) if lines[i].strip() == "```"), None)
            if end is None:
                raise BlockError(f"{page}:{first}: the block does not end")
            code = [line[indent:] for line in lines[first:end]]
            where = f"{page}:{first}"
            found.append(Block(page, first, commands_of(fence.group(2), code), **marks_of(where, comments, run_by)))
            at = end
        elif lines[at].lstrip().startswith("```"):
            at = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == "```"), at)  # Of another language.
        if comment and (whole := PAGE.match(comment.group(1))):
            run_by = file_in_tree(f"{page}:{at + 1}", whole.group(1))
        elif comment:
            comments.append(comment.group(1))
        elif lines[at].strip():
            comments = []
        at += 1
    return found


def all_blocks():
    """Page -> its shell blocks; pages without any are left out."""
    found = {page: blocks(page, (REPO / page).read_text(encoding="utf-8")) for page in pages()}
    return {page: of_page for page, of_page in found.items() if of_page}
