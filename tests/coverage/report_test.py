"""The report counts what gcovr counted, misses no uncovered line, and lets no exception rot."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import report

SOURCE = "int F() {\n  return 1;\n}\nint G() {\n  return 2;\n}\n"
WHY = "\n  It cannot be.\n"


def file_of(path, *counts, **more):
    """gcovr's account of a file whose lines 1, 2, … ran so often."""
    return {"file": path, "functions": [], "lines": [{"line_number": at, "count": count, "branches": [], **more}
                                                       for at, count in enumerate(counts, start=1)]}


class ReportTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for path in ("core/txn/a.cc", "core/shard/b.cc", "core/engine/outcome.cc", "server/c.cc"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(SOURCE)
        self.enterContext(mock.patch.object(report, "REPO", self.root))
        self.enterContext(mock.patch.object(report, "EXCEPTIONS", self.root / "exceptions.txt"))

    def run_on(self, *files, exceptions=""):
        """(exit code, output)."""
        (self.root / "report.json").write_text(json.dumps({"gcovr/format_version": "0.3", "files": files}))
        (self.root / "exceptions.txt").write_text(exceptions)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            code = report.main([str(self.root / "report.json")])
        return code, output.getvalue()

    def refused(self, words, *files, exceptions=""):
        with self.assertRaisesRegex(SystemExit, words):
            self.run_on(*files, exceptions=exceptions)

    def test_a_table_tells_each_folder_of_core(self):
        code, output = self.run_on(file_of("core/txn/a.cc", 3, 1), file_of("core/shard/b.cc", 1, 0, 0), file_of("server/c.cc", 0))
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"(?m)^core/shard +3 +1 +33\.3$")
        self.assertRegex(output, r"(?m)^core/txn +2 +2 +100\.0 +every line$")
        self.assertRegex(output, r"(?m)^core +5 +3 +60\.0$")
        self.assertNotIn("server", output)

    def test_a_missed_line_of_a_strict_folder_fails_and_is_shown(self):
        code, output = self.run_on(file_of("core/txn/a.cc", 1, 0, 1))
        self.assertEqual(code, 1)
        self.assertIn("not covered: core/txn/a.cc:2: return 1;\n", output)

    def test_a_strict_file_of_another_folder_is_demanded_too(self):
        code, output = self.run_on(file_of("core/engine/outcome.cc", 1, 0, 1))
        self.assertEqual(code, 1)
        self.assertIn("not covered: core/engine/outcome.cc:2: return 1;\n", output)

    def test_an_exception_excuses_one_line_not_all_of_its_text(self):
        (self.root / "core/txn/a.cc").write_text("int F() {\n  return 1;\n}\nint G() {\n  return 1;\n}\n")
        code, output = self.run_on(file_of("core/txn/a.cc", 1, 0, 1, 1, 0), exceptions="core/txn/a.cc: return 1;" + WHY)
        self.assertEqual(code, 1)
        self.assertIn("not covered: core/txn/a.cc:5: return 1;\n", output)
        twice = 2 * ("core/txn/a.cc: return 1;" + WHY)
        self.assertEqual(self.run_on(file_of("core/txn/a.cc", 1, 0, 1, 1, 0), exceptions=twice)[0], 0)
        code, output = self.run_on(file_of("core/txn/a.cc", 1, 1, 1, 1, 0), exceptions=twice)
        self.assertEqual(code, 1)
        self.assertIn("is covered now", output)

    def test_lines_that_are_no_code_do_not_count(self):
        code, output = self.run_on(file_of("core/txn/a.cc", 1), file_of("core/txn/a.cc", 0, 0, **{"gcovr/noncode": True}))
        self.assertEqual(code, 0, output)

    def test_an_exception_names_the_text_of_a_line(self):
        code, output = self.run_on(file_of("core/txn/a.cc", 1, 0, 1, 1, 1), exceptions="core/txn/a.cc: return 1;" + WHY)
        self.assertEqual(code, 0, output)
        self.assertRegex(output, r"(?m)^core/txn +5 +4 +80\.0 +1  every line$")
        code, output = self.run_on(file_of("core/txn/a.cc", 1, 1, 1, 1, 0), exceptions="core/txn/a.cc: return 1;" + WHY)
        self.assertEqual(code, 1)
        self.assertIn("not covered: core/txn/a.cc:5: return 2;", output)

    def test_an_exception_that_is_none_any_more_fails(self):
        covered = file_of("core/txn/a.cc", 1, 1, 1)
        code, output = self.run_on(covered, exceptions="core/txn/a.cc: return 1;" + WHY)
        self.assertEqual(code, 1)
        self.assertIn("exceptions.txt:1: core/txn/a.cc: return 1;: is covered now", output)
        for gone in ("core/txn/a.cc: return 7;", "core/txn/gone.cc: return 1;", "sometimes core/txn/a.cc: return 7;"):
            code, output = self.run_on(covered, exceptions=gone + WHY)
            self.assertEqual(code, 1)
            self.assertIn("no such line of code any more", output)

    def test_a_line_that_some_runs_reach_may_be_either(self):
        for count in (0, 1):
            code, output = self.run_on(file_of("core/txn/a.cc", 1, count), exceptions="sometimes core/txn/a.cc: return 1;" + WHY)
            self.assertEqual(code, 0, output)

    def test_entries_that_are_not_whole_are_refused(self):
        one = file_of("core/txn/a.cc", 1, 0)
        self.refused("exceptions.txt:1: says no reason", one, exceptions="core/txn/a.cc: return 1;\n")
        self.refused("exceptions.txt:2: not understood", one, exceptions="# Why.\ncore/txn/a.cc\n")
        self.refused("exceptions.txt:1: a reason without a line", one, exceptions="  It cannot be.\n")
        self.refused("exceptions.txt:1: core/shard/b.cc is in none of", one, exceptions="core/shard/b.cc: return 1;" + WHY)

    def test_a_report_of_something_else_is_refused(self):
        self.refused("no line of core/", file_of("server/c.cc", 1))
        self.refused("core/txn/a.cc has no line 8: the report is of another state", file_of("core/txn/a.cc", *[1] * 8))
        with self.assertRaisesRegex(SystemExit, "coverage: .*none.json"):
            report.main([str(self.root / "none.json")])

    def test_nearly_all_is_not_all(self):
        self.assertEqual(report.percent(99999, 100000), "99.9")
        self.assertEqual(report.percent(10, 10), "100.0")


class ExceptionsTest(unittest.TestCase):
    def test_those_of_the_tree_are_whole_and_name_lines_that_are_there(self):
        for entry in report.read_exceptions(report.EXCEPTIONS.read_text(encoding="utf-8")):
            source = (report.REPO / entry.path).read_text(encoding="utf-8")
            self.assertIn(entry.text, [line.strip() for line in source.split("\n")], f"exceptions.txt:{entry.number}")


if __name__ == "__main__":
    unittest.main()
