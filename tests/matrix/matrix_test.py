"""The matrix has every cell once, chooses what it is told, and fails when one cell does."""

import contextlib
import io
import pathlib
import re
import tempfile
import unittest
from unittest import mock

import matrix

WORKFLOW = matrix.REPO / ".github" / "workflows" / "matrix.yml"


def names(*arguments):
    return [cell.name for cell in matrix.parse(arguments).cells]


class ChoiceTest(unittest.TestCase):
    def test_all_of_it_is_every_pair_of_everything(self):
        listed = names()
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(len(listed), 3 * 3 * 2 + 4)
        for group in ("databases", "sanitizers", "lint", "coverage"):
            self.assertTrue(names("--only", group))

    def test_options_narrow_each_other(self):
        self.assertEqual(names("--database", "postgres", "--shards", "4", "--compiler", "clang"), ["postgres-4-clang"])
        self.assertEqual(names("--database", "sqlite", "--database", "replicated", "--shards", "8", "--compiler", "gcc"),
                         ["sqlite-8-gcc", "replicated-8-gcc"])
        self.assertEqual(names("--only", "sanitizers"), ["asan", "tsan"])
        self.assertEqual(names("--only", "lint", "--only", "sqlite-2-gcc"), ["sqlite-2-gcc", "lint"])

    def test_what_is_unknown_or_empty_is_refused(self):
        for arguments in (["--shards", "3"], ["--database", "oracle"], ["--only", "sanitizers", "--shards", "2"]):
            error = io.StringIO()
            with self.subTest(arguments), contextlib.redirect_stderr(error), self.assertRaises(SystemExit) as ended:
                matrix.parse(arguments)
            self.assertEqual(ended.exception.code, 2)
            self.assertRegex(error.getvalue(), "invalid choice|no cell is all of that")

    def test_every_command_is_one_of_dev(self):
        for cell in matrix.cells():
            self.assertEqual(cell.command[0], "./dev")


class RunTest(unittest.TestCase):
    def setUp(self):
        self.logs = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.object(matrix, "LOGS", self.logs))

    def run_of(self, **scripts):
        made = [matrix.Cell(name, "made", ("sh", "-c", script), (("WORD", "said"),)) for name, script in scripts.items()]
        output = io.StringIO()
        with mock.patch.object(matrix, "cells", lambda: made), contextlib.redirect_stdout(output):
            code = matrix.main([])
        return code, output.getvalue()

    def test_all_green_is_green_and_tells_times_and_tests(self):
        code, output = self.run_of(one="echo $WORD; echo '100% tests passed, 0 tests failed out of 3'", two="true")
        self.assertEqual(code, 0)
        self.assertRegex(output, r"(?m)^one +ok +0 s +3/3 +build/matrix/one\.log$")
        self.assertRegex(output, r"(?m)^two +ok +0 s +build/matrix/two\.log$")
        self.assertIn("said", (self.logs / "one.log").read_text())
        self.assertTrue((self.logs / "one.log").read_text().startswith("+ WORD=said sh -c"))

    def test_one_red_cell_ends_the_run_red_after_all_have_run_and_shows_its_end(self):
        code, output = self.run_of(bad="echo lost; echo '50% tests passed, 1 tests failed out of 2'; exit 8", good="true")
        self.assertEqual(code, 1)
        self.assertRegex(output, r"(?m)^bad +FAILED \(8\) +0 s +1/2")
        self.assertRegex(output, r"(?m)^good +ok")
        self.assertIn("\nlost\n", output)


class WorkflowTest(unittest.TestCase):
    def test_the_nightly_workflow_runs_every_cell(self):
        text = WORKFLOW.read_text(encoding="utf-8")

        def listed(key):
            return re.search(rf"^ +{key}: \[(.*)\]$", text, re.MULTILINE).group(1).split(", ")

        self.assertEqual(listed("database"), list(matrix.DATABASES))
        self.assertEqual(listed("shards"), [str(number) for number in matrix.SHARDS])
        self.assertEqual(listed("compiler"), list(matrix.PRESETS))
        others = [cell.name for cell in matrix.cells() if cell.group != "databases"]
        self.assertEqual(listed("cell"), others)


if __name__ == "__main__":
    unittest.main()
