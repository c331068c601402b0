"""CMake refuses, when it configures, a library that depends on its own floor or a higher one."""

import os
import pathlib
import subprocess
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
# Libraries without sources, so that no compiler is looked for.
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(house LANGUAGES NONE)
include({targets})
quarry_library(NAME cellar FLOOR 1)
quarry_library(NAME parlour FLOOR 2 DEPS quarry::cellar)
{last}
"""


class FloorsTest(unittest.TestCase):
    def configured(self, last):
        """Configures the house with one more library: its exit code and what CMake says, unfolded."""
        with tempfile.TemporaryDirectory(prefix="quarry-floors-") as folder:
            project = pathlib.Path(folder, "CMakeLists.txt")
            project.write_text(PROJECT.format(targets=REPO / "cmake" / "QuarryTargets.cmake", last=last), encoding="utf-8")
            done = subprocess.run([os.environ.get("CMAKE", "cmake"), "-G", "Ninja", "-S", folder, "-B", f"{folder}/build"],
                                  capture_output=True, text=True, timeout=60)
        return done.returncode, " ".join(done.stderr.split())

    def test_a_library_stands_on_lower_floors(self):
        self.assertEqual(self.configured("quarry_library(NAME attic FLOOR 3 DEPS quarry::parlour quarry::cellar)"), (0, ""))

    def test_a_dependency_upwards_is_refused(self):
        code, error = self.configured("quarry_library(NAME pit FLOOR 0 DEPS quarry::parlour)")
        self.assertEqual(code, 1)
        self.assertIn("quarry_pit is on floor 0 and may not depend on quarry::parlour (floor 2)", error)

    def test_a_dependency_on_the_same_floor_is_refused(self):
        code, error = self.configured("quarry_library(NAME study FLOOR 2 DEPS quarry::parlour)")
        self.assertEqual(code, 1)
        self.assertIn("quarry_study is on floor 2 and may not depend on quarry::parlour (floor 2)", error)

    def test_a_library_that_is_declared_later_is_refused(self):
        code, error = self.configured("quarry_library(NAME attic FLOOR 3 DEPS quarry::roof)\nquarry_library(NAME roof FLOOR 1)")
        self.assertEqual(code, 1)
        self.assertIn("quarry_attic depends on quarry::roof, which is not declared before it", error)


if __name__ == "__main__":
    unittest.main(verbosity=2)
