"""A test program whose filter fits nothing fails: gtest itself ends well then, and a renamed suite would pass unseen."""

import json
import os
import re
import subprocess
import unittest


def entry(name):
    """A test as ctest has it: its command, and its properties by name."""
    command = [os.environ["CTEST"], "--test-dir", os.environ["BUILD_FOLDER"], "--show-only=json-v1"]
    tests = json.loads(subprocess.run(command, text=True, capture_output=True, check=True).stdout)["tests"]
    test = next(test for test in tests if test["name"] == name)
    return test["command"], {one["name"]: one["value"] for one in test["properties"]}


class NoTestsTest(unittest.TestCase):
    def test_what_gtest_says_of_a_filter_that_fits_nothing_is_a_failure(self):
        command, properties = entry("model_test")

        def fails(test_filter):
            env = {**os.environ, "GTEST_FILTER": test_filter}
            done = subprocess.run(command, env=env, text=True, capture_output=True, check=True)
            return any(re.search(bad, done.stdout) for bad in properties["FAIL_REGULAR_EXPRESSION"])

        self.assertTrue(fails("NobodyHasThisName.*"))
        self.assertFalse(fails("EtagTest.*"))


if __name__ == "__main__":
    unittest.main()
