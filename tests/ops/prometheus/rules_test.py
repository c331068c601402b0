"""The rules by promtool: they are valid, each alert fires when it should and only then, and each has its runbook."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import prometheus
from rule_cases import CASES

ALERTS_FILE = prometheus.CHART / "rules" / "quarry.alerts.yaml"
RUNBOOKS = prometheus.REPO / "docs" / "runbooks.md"


def alert_blocks():
    """The text of each alert, by its name."""
    parts = re.split(r"^ *- alert: (\w+)$", ALERTS_FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def runbook_sections():
    parts = re.split(r"^### (.+)$", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def expectation(alert, at, labels):
    """Of promtool: that the alert fires with exactly these labels, or (None) not at all."""
    samples = []
    if labels is not None:
        everything = {"alertname": alert, "alertstate": "firing", "severity": severity(alert), **labels}
        pairs = ", ".join(f'{key}="{value}"' for key, value in everything.items())
        samples = [{"labels": f"ALERTS{{{pairs}}}", "value": 1}]
    return {"expr": f'ALERTS{{alertname="{alert}", alertstate="firing"}}', "eval_time": f"{at}m", "exp_samples": samples}


def severity(alert):
    return re.search(r"severity: (\w+)", alert_blocks()[alert]).group(1)


def promtool_test(name, case, states, expectations):
    return {"name": name, "interval": f"{case.interval}m", "promql_expr_test": expectations,
            "input_series": [{"series": key, "values": values} for key, values in states.items()]}


def promtool_tests(alert, case):
    """It fires at its time, and as long as it lasts; in a quiet state it does so neither then nor around that time."""
    moments = [case.at + case.interval * step for step in range(-2, 6)]
    loud = [case.at, case.lasts] if case.lasts else [case.at]
    tests = [promtool_test(f"{alert} fires", case, case.fires, [expectation(alert, at, case.labels) for at in loud])]
    for number, states in enumerate(case.quiet):
        tests.append(promtool_test(f"{alert} is quiet {number}", case, states,
                                   [expectation(alert, at, None) for at in moments if at >= 0]))
    return tests


class Rules(unittest.TestCase):
    def promtool(self, *arguments, **options):
        done = subprocess.run([prometheus.program("promtool"), *map(str, arguments)], capture_output=True, text=True, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_promtool_accepts_them(self):
        self.promtool("check", "rules", "--lint=all", "--lint-fatal", *prometheus.RULES)

    def test_each_alert_fires_when_it_should_and_only_then(self):
        self.assertEqual(set(CASES), set(alert_blocks()), "each alert needs a case in rule_cases.py")
        for alert, case in CASES.items():
            self.assertTrue(case.quiet, alert)
        for interval in {case.interval for case in CASES.values()}:
            tests = [test for alert, case in CASES.items() if case.interval == interval
                     for test in promtool_tests(alert, case)]
            with tempfile.TemporaryDirectory(prefix="quarry-rules-") as folder:
                file = pathlib.Path(folder) / "cases.json"  # JSON is YAML, too.
                file.write_text(json.dumps({"rule_files": [str(path) for path in prometheus.RULES],
                                            "evaluation_interval": f"{interval}m", "tests": tests}))
                self.promtool("test", "rules", file)

    def test_each_alert_says_how_bad_it_is_what_to_do_and_where_that_is_written(self):
        sections = runbook_sections()
        for alert, text in alert_blocks().items():
            with self.subTest(alert):
                self.assertRegex(text, r"severity: (critical|warning)\b")
                self.assertRegex(text, r'summary: "\S')
                self.assertRegex(text, r"description: >-\n\s+\S")
                self.assertIn(f"runbook_url: docs/runbooks.md#{alert.lower()}\n", text)
                self.assertIn(alert, sections, "docs/runbooks.md has no section for it")
                if "shard" in CASES[alert].labels:
                    self.assertIn("{{ $labels.shard }}", text)

    def test_each_runbook_has_an_alert_and_says_when_to_wake_somebody(self):
        sections = runbook_sections()
        self.assertEqual(set(sections), set(alert_blocks()))
        for alert, text in sections.items():
            with self.subTest(alert):
                for part in ("**Means.**", "**Look.**", "**Do.**", "**Wake somebody**"):
                    self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
