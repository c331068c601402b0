"""Renders of every file in values/ are those in tests/golden/helm, to the byte. `--update` writes them anew, to be reviewed as a diff."""

import difflib
import sys
import unittest

import chart

GOLDEN = chart.REPO / "tests" / "golden" / "helm"
UPDATE = "build/venv/bin/python tests/ops/helm/golden_test.py --update"


class GoldenTest(unittest.TestCase):
    def test_renders_are_as_reviewed(self):
        self.assertEqual(sorted(path.stem for path in GOLDEN.glob("*.yaml")), chart.CASES,
                         "tests/golden/helm and values/ do not have the same names; " + UPDATE)
        with chart.copied_chart() as copy:
            for case in chart.CASES:
                with self.subTest(case=case):
                    wanted = (GOLDEN / f"{case}.yaml").read_text()
                    got = chart.render(case, copy)
                    diff = difflib.unified_diff(wanted.splitlines(), got.splitlines(), "golden", "rendered", lineterm="")
                    self.assertEqual(wanted, got, "\n" + "\n".join(diff) + f"\nwhere it is meant: {UPDATE}")


def update():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    with chart.copied_chart() as copy:
        for case in chart.CASES:
            (GOLDEN / f"{case}.yaml").write_text(chart.render(case, copy))


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main()
