"""The C++ that the pages show is the C++ that cpp_blocks.cc compiles, block by block. --update writes it into the pages."""

import pathlib
import re
import sys
import textwrap
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
COMPILED = pathlib.Path(__file__).with_name("cpp_blocks.cc")
BLOCK = re.compile(r"^ *// (docs/\S+\.md)\n(.*?)^ *// end$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def compiled():
    """Page -> its blocks, in order."""
    found = {}
    for page, text in BLOCK.findall(COMPILED.read_text(encoding="utf-8")):
        found.setdefault(page, []).append(textwrap.dedent(text))
    return found


def pages_with_cpp():
    """Those of docs/languages show whole files, which language_test.py compares."""
    return {str(page.relative_to(REPO)): FENCE.findall(page.read_text(encoding="utf-8"))
            for page in sorted((REPO / "docs").glob("*.md"))}


def update():
    for page, blocks in compiled().items():
        path, following = REPO / page, iter(blocks)
        path.write_text(FENCE.sub(lambda _: f"```cpp\n{next(following)}```", path.read_text(encoding="utf-8")), encoding="utf-8")


class CppBlocksTest(unittest.TestCase):
    def test_pages_show_what_is_compiled(self):
        self.maxDiff = None
        self.assertEqual({page: blocks for page, blocks in pages_with_cpp().items() if blocks}, compiled())


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main(verbosity=2)
