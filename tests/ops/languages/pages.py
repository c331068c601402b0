"""Pages of documentation as tests read them: their commands, what those print, and the files that they show."""

import pathlib
import re

REPO = pathlib.Path(__file__).resolve().parents[3]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A heading that names a file in backquotes, and the block below it.
FILE = re.compile(r"^(#+ `([\w./-]+)`\n\n```\w+\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)


def blocks(page, *languages):
    """(language, text) of the fenced blocks, in order."""
    return [(language, text) for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
            if language in languages]


def shown_files(page):
    """(path, text) of the files that the page shows."""
    return [(REPO / path, text) for _, path, text, _ in FILE.findall(page.read_text(encoding="utf-8"))]


def update_files(page):
    """Writes the files into the page, as they are now."""

    def current(match):
        return match[1] + (REPO / match[2]).read_text(encoding="utf-8") + match[4]

    page.write_text(FILE.sub(current, page.read_text(encoding="utf-8")), encoding="utf-8")
