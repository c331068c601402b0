"""The source tree as the checks see it: paths and texts, from disk or made up by a test."""

import os
import re
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED_FOLDERS = {".git", "build", "data", "node_modules", "__pycache__", ".ccache", ".cache", "third_party"}
TEXT_ENDINGS = (".h", ".cc", ".c", ".py", ".js", ".go", ".mod", ".java", ".xml", ".proto", ".md", ".txt", ".cmake", ".yml", ".yaml", ".sh", ".json", ".sql", ".html")
TEXT_NAMES = {"dev", "run", "Dockerfile"}


class Violation(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


class Tree:
    """`files` maps paths from the root, with forward slashes, to texts; `others` are paths of files that are not text."""

    def __init__(self, files, others=()):
        self.files, self.others = files, set(others)

    @staticmethod
    def from_disk(root=ROOT):
        files, others = {}, set()
        for folder, names, leaves in os.walk(root):
            names[:] = sorted(name for name in names if name not in SKIPPED_FOLDERS)
            for leaf in sorted(leaves):
                path = os.path.join(folder, leaf)
                if not leaf.endswith(TEXT_ENDINGS) and leaf not in TEXT_NAMES:
                    others.add(os.path.relpath(path, root).replace(os.sep, "/"))
                    continue
                try:
                    with open(path, encoding="utf-8") as file:
                        files[os.path.relpath(path, root).replace(os.sep, "/")] = file.read()
                except FileNotFoundError:
                    continue  # A dangling link or a file that is just being replaced.
        return Tree(files, others)

    def under(self, *folders, endings=(".h", ".cc")):
        """(path, text) of files below the folders, in order."""
        for path, text in sorted(self.files.items()):
            if path.endswith(endings) and any(path.startswith(folder + "/") for folder in folders):
                yield path, text


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def matches(text, pattern):
    """(line, match) of every match."""
    for match in re.finditer(pattern, text, re.MULTILINE):
        yield line_of(text, match.start()), match


TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL,
)


def blank_comments_and_strings(text, keep_strings=False):
    """The same text with comments (and string literals) blanked; line numbers stay."""

    def blank(match):
        token = match.group(0)
        if keep_strings and not token.startswith("/"):
            return token
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else re.sub(r"[^\n\"']", " ", token)

    return TOKEN.sub(blank, text)
