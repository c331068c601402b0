"""Blocks and their marks are read as they are meant, and those of the tree are all in order."""

import unittest

import blocks


def read(*lines):
    return blocks.blocks("page.md", "\n".join(lines))


class BlocksTest(unittest.TestCase):
    def test_shell_blocks_are_found_in_order_with_their_lines(self):
        found = read("# Page", "```sh", "one", "two \\", "  more", "```", "text", "```cpp", "no();", "```", "```text", "```", "```bash", "three", "```")
        self.assertEqual([(block.line, block.commands) for block in found], [(2, "one\ntwo \\\n  more"), (13, "three")])
        self.assertTrue(all(block.runs_here for block in found))

    def test_a_block_within_a_list_loses_its_indentation(self):
        self.assertEqual(read("1. Do", "", "   ```sh", "   a <<'E'", "     b", "   E", "   ```")[0].commands, "a <<'E'\n  b\nE")

    def test_of_a_console_only_the_commands_count(self):
        self.assertEqual(read("```console", "$ one", "what it says", "$ two", "```")[0].commands, "one\ntwo")

    def test_marks(self):
        self.assertEqual(read("<!-- not run: an hour -->", "```sh", "```")[0].not_run, "an hour")
        self.assertEqual(read("<!-- run by tests/ops/docs/blocks.py -->", "```sh", "```")[0].run_by, "tests/ops/docs/blocks.py")
        block = read("<!-- run in the background -->", "", "```sh", "```")[0]
        self.assertEqual((block.background, block.stopped), (True, False))
        block = read("<!-- run while the server is stopped -->", "```sh", "```")[0]
        self.assertEqual((block.background, block.stopped), (False, True))
        self.assertEqual(read("<!-- first: a > b -->", "<!-- first: c -->", "```sh", "```")[0].first, ("a > b", "c"))
        block = read("<!-- with ID: get 1 -->", "<!-- with ETAG: get 2 -->", "```sh", "```")[0]
        self.assertEqual(block.words, (("ID", "get 1"), ("ETAG", "get 2")))
        self.assertTrue(block.runs_here)

    def test_a_whole_page_may_be_run_by_another_test(self):
        found = read("<!-- page run by tests/ops/docs/blocks.py -->", "# Page", "```sh", "one", "```", "words", "```sh", "two", "```")
        self.assertEqual([block.run_by for block in found], ["tests/ops/docs/blocks.py"] * 2)
        with self.assertRaisesRegex(blocks.BlockError, "page.md:1: no file tests/none.py"):
            read("<!-- page run by tests/none.py -->", "```sh", "one", "```")

    def test_a_mark_is_for_the_next_block_alone(self):
        for between in (["words"], ["```sh", "x", "```"], ["```cpp", "x", "```"]):
            with self.subTest(between):
                self.assertTrue(read("<!-- not run: an hour -->", *between, "```sh", "```")[-1].runs_here)

    def test_marks_that_say_nothing_are_refused(self):
        for mark, words in (("not run", "say why"), ("not run:", "say why"), ("run by tests/none.py", "no file"), ("with id: x", "not understood")):
            with self.subTest(mark), self.assertRaisesRegex(blocks.BlockError, f"page.md:2: {words}"):
                read(f"<!-- {mark} -->", "```sh", "```")
        with self.assertRaisesRegex(blocks.BlockError, "does not end"):
            read("```sh", "one")

    def test_those_of_the_tree_are_in_order(self):
        found = blocks.all_blocks()
        for page in ("README.md", "docs/start.md", "docs/operating.md", "docs/quarryctl.md"):
            self.assertTrue(any(block.runs_here for block in found[page]), page)
        for of_page in found.values():
            for block in of_page:
                self.assertTrue(block.commands.strip(), f"{block} is empty")
                self.assertFalse(block.not_run and block.run_by, f"{block} is not run, and run by another")


if __name__ == "__main__":
    unittest.main(verbosity=2)
