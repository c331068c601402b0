"""Every mutant fits the tree and names tests that exist; a head that is not understood is refused."""

import os
import re
import subprocess
import unittest

import mutants

GOOD = "Breaks: all\nTest: a_test\nTest: b_test B.*\nEnv: X=1=2\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n"


class MutantsTest(unittest.TestCase):
    def test_reads_the_head(self):
        mutant = mutants.parse("m", GOOD)
        self.assertEqual(mutant.breaks, "all")
        self.assertEqual(mutant.tests, (("a_test", "*"), ("b_test", "B.*")))
        self.assertEqual(mutant.environment, (("X", "1=2"),))
        self.assertTrue(mutant.diff.startswith("--- a/f\n"))

    def test_refuses_what_is_missing(self):
        for line in ("Breaks: all\n", "Test: a_test\nTest: b_test B.*\n", GOOD[GOOD.index("---"):]):
            with self.assertRaises(mutants.MutantError):
                mutants.parse("m", GOOD.replace(line, ""))
        with self.assertRaisesRegex(mutants.MutantError, "m.patch:1: not understood"):
            mutants.parse("m", "Kills: all\n" + GOOD)

    def test_unknown_names_are_refused(self):
        with self.assertRaisesRegex(mutants.MutantError, "no-such-mutant"):
            mutants.load(["no-such-mutant"])

    def test_every_mutant_fits_the_tree(self):
        self.assertTrue(mutants.load())
        for mutant in mutants.load():
            with self.subTest(mutant=mutant.name):
                mutants.apply(mutant, mutants.ROOT, "--check")

    def test_every_mutant_names_targets_that_exist(self):
        listed = subprocess.run(["grep", "-rhoE", r"quarry_test\(NAME +\w+", os.path.join(mutants.ROOT, "tests"), "--include=CMakeLists.txt"],
                                text=True, capture_output=True, check=True)
        targets = set(re.findall(r"NAME +(\w+)", listed.stdout))
        for mutant in mutants.load():
            for test in mutant.tests:
                self.assertIn(test.target, targets, mutant.name)


if __name__ == "__main__":
    unittest.main()
