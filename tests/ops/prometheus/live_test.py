"""A real Prometheus scrapes two real gateways through load and trouble, and is asked every query of every panel, variable and alert."""

import contextlib
import math
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import cluster
import dashboards
import prometheus
from prometheus import gateway

QUIET_SECONDS = 8  # Of load alone, before the trouble begins.
RATE_INTERVAL = "5s"
SELECTOR = re.compile(r"\b((?:quarry|grpc_server|process|scrape)[a-z0-9_:]*|up)\b(\{[^}]*\})?")


def finite(series):
    """The values of a series, instant or over time, that are numbers."""
    pairs = series["values"] if "values" in series else [series["value"]]
    return [float(value) for _, value in pairs if math.isfinite(float(value))]


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-prometheus-")))
            folder.chmod(0o755)  # PostgreSQL's account must get at its own folder below.
            cls.cluster = stack.enter_context(cluster.cluster(folder))
            cls.api = stack.enter_context(prometheus.prometheus(folder / "prometheus", cls.cluster.targets()))
            cls.start = time.time()
            with cluster.Traffic(cls.cluster):
                cls.trouble()
            cls.end = time.time()
            cls.addClassCleanup(stack.pop_all().close)

    @classmethod
    def trouble(cls):
        """What makes every series appear: a lost lock, a full pool, a shard that is down and comes back."""
        asks = cls.api.query
        gateway.wait_until("quiet load", lambda: time.time() > cls.start + QUIET_SECONDS)
        cluster.lose_a_lock(cls.cluster.gateways[0])
        crowd = cluster.crowd(cls.cluster.gateways[1], "s0")
        gateway.wait_until("calls wait for sessions", lambda: asks("sum(quarry_pool_waiters) > 0"))
        for statement in crowd:
            statement.wait(timeout=60)
        cls.cluster.servers[1].stop()
        gateway.wait_until("a breaker opens", lambda: asks('max(max_over_time(quarry_shard_breaker_open{shard="s2"}[1m])) > 0'))
        gateway.wait_until("the alert sees it", lambda: asks('ALERTS{alertname="QuarryShardDown", shard="s2"}'))
        gateway.wait_until("calls fail for it", lambda: asks('sum(rate(grpc_server_handled_total{grpc_code="Unavailable"}[5s])) > 0'))
        cls.cluster.servers[1].start()
        gateway.wait_until("it is up again", lambda: asks('min(quarry_shard_up) == 1'), 60)
        back = time.time()
        gateway.wait_until("load with all shards again", lambda: time.time() > back + 4)

    def each_query(self):
        for name, dashboard in dashboards.load().items():
            values = dashboards.variable_values(self.api, dashboard)
            for panel in dashboards.panels(dashboard):
                for target in panel.get("targets", []):
                    with self.subTest(f"{name}: {panel['title']}: {target['refId']}"):
                        yield panel, target, dashboards.fill(target["expr"], values, RATE_INTERVAL)

    def test_01_variables_have_the_values_of_the_cluster(self):
        for name, dashboard in dashboards.load().items():
            with self.subTest(name):
                values = dashboards.variable_values(self.api, dashboard)
                self.assertEqual(values["deployment"], ["shop"])
                self.assertEqual(values["namespace"], ".*", "there is none outside of Kubernetes")
                self.assertEqual(values["job"], ["quarry"])
                self.assertEqual(values["instance"], sorted(self.cluster.targets()))
                self.assertEqual(values.get("shard", ["s0", "s1", "s2"]), ["s0", "s1", "s2"])

    def test_02_every_query_of_every_panel_gives_numbers_over_time(self):
        for panel, target, expression in self.each_query():
            series = self.api.query_range(expression, self.start, self.end, "1s")
            self.assertTrue(any(finite(one) for one in series), f"no number from {expression}")
            for one in series:
                named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                self.assertLessEqual(named, set(one["metric"]), "the legend names a label that is not there")
                self.check_range(panel, one)
            if panel["type"] == "stat":
                self.assertEqual(len(series), 1, "a stat is one number")

    def check_range(self, panel, series):
        unit = panel["fieldConfig"]["defaults"].get("unit")
        for value in finite(series):
            self.assertGreaterEqual(value, 0)
            if unit == "percentunit":
                self.assertLessEqual(value, 1)
            if unit == "s":
                self.assertLess(value, 3600)

    def test_03_legends_tell_series_apart(self):
        for panel, target, expression in self.each_query():
            if panel["type"] == "table":
                continue
            labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
            shown = [tuple(one["metric"].get(label) for label in labels)
                     for one in self.api.query_range(expression, self.start, self.end, "5s")]
            self.assertEqual(len(shown), len(set(shown)), shown)

    def test_04_tables_have_their_columns(self):
        for panel, _, expression in self.each_query():
            if panel["type"] != "table":
                continue
            rows = self.api.query(expression, self.end)
            columns = set(panel["transformations"][0]["options"]["include"]["names"]) - {"Value"}
            self.assertTrue(rows)
            self.assertLessEqual(columns - {"shard"}, set(rows[0]["metric"]))

    def test_05_the_trouble_is_in_the_data(self):
        """What the dashboards are for: it can be seen afterwards what happened."""
        for expression in ('min(min_over_time(quarry_shard_up{shard="s2"}[10m])) == 0',
                           'max(max_over_time(quarry_shard_breaker_open{shard="s2"}[10m])) > 0',
                           'max(max_over_time(quarry_pool_waiters{shard="s0"}[10m])) > 0',
                           'sum(increase(quarry_commits_total{phase="two"}[10m])) > 0',
                           'sum(increase(quarry_forwarded_calls_total{result="ok"}[10m])) > 0',
                           'sum(increase(quarry_result_cache_requests_total{result="hit"}[10m])) > 0',
                           'sum(increase(quarry_locks_lost_total[10m])) > 0',
                           'sum(increase(quarry_lock_wait_seconds_count[10m])) > 0',
                           'sum(increase(quarry_resolutions_total{result="not_resolved"}[10m])) > 0',
                           'min(quarry_peers{state="self"}) == 1',
                           'min(quarry_peers{state="serving"}) == 1',
                           'min(increase(process_cpu_seconds_total{job="quarry"}[1m])) > 0'):
            with self.subTest(expression):
                self.assertTrue(self.api.query(expression, self.end))

    def test_06_every_rule_is_evaluated_without_error(self):
        rules = [rule for group in self.api.get("rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len([rule for rule in rules if rule["type"] == "alerting"]), 20)
        for rule in rules:
            with self.subTest(rule["name"]):
                self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""))
                self.api.query(rule["query"], self.end)
                for name, labels in set(SELECTOR.findall(rule["query"])):
                    found = self.api.get("series", **{"match[]": name + labels, "start": self.start, "end": self.end})
                    self.assertTrue(found, f"no series for {name}{labels}")
                if rule["type"] == "recording":
                    recorded = self.api.query_range(rule["name"], self.start, self.end, "1s")
                    self.assertTrue(any(finite(one) for one in recorded))

    def test_07_alerts_that_fired_have_whole_texts(self):
        seen = {(one["metric"]["alertname"], one["metric"]["alertstate"])
                for one in self.api.query_range("ALERTS", self.start, self.end, "1s")}
        self.assertIn(("QuarryLocksLost", "firing"), seen)
        self.assertLessEqual({"QuarryShardDown", "QuarryShedding"}, {name for name, _ in seen})
        for never in ("QuarryAuditFindings", "QuarryTransactionContradicted", "QuarryRecoveryStuck", "QuarryNoGateway"):
            self.assertNotIn((never, "firing"), seen)
        now = self.api.get("alerts")["alerts"]
        self.assertTrue(now)
        for alert in now:
            for text in alert["annotations"].values():
                self.assertNotRegex(text, r"<no value>|<error|{{|%!")

    def test_08_promtool_has_nothing_against_the_metrics(self):
        for one in self.cluster.gateways:
            done = subprocess.run([prometheus.program("promtool"), "check", "metrics"], input=one.metrics(), capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_09_the_page_of_metrics_lists_just_those_that_there_are(self):
        served = dict(re.findall(r"^# TYPE (\S+) (\S+)$", self.cluster.gateways[0].metrics(), re.MULTILINE))
        listed = {}
        for names, kind in re.findall(r"^\| (`[a-z_`, ]+`) \| (counter|gauge|histogram) \|", prometheus.METRICS_PAGE.read_text(encoding="utf-8"), re.MULTILINE):
            listed.update({name: kind for name in re.findall(r"`(\w+)`", names)})
        self.assertEqual(listed, served)

    def test_10_commands_of_runbooks_and_alerts_exist(self):
        pages = [prometheus.REPO / "docs" / "runbooks.md", *prometheus.RULES]
        text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
        commands = set(re.findall(r"(?:`|^)quarryctl ([a-z][^`#\n]*)", text, re.MULTILINE))
        self.assertGreater(len(commands), 8)
        for command in commands:
            words = command.split()
            path = [word for word in words if re.fullmatch(r"[a-z][a-z-]+", word) and words[words.index(word) - 1] != "--by"][:2]
            done = subprocess.run([gateway.binary("QUARRYCTL"), *path, "--help"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
            with self.subTest(command):
                self.assertEqual(done.returncode, 0, done.stderr)
                for flag in re.findall(r"--[a-z-]+", command):
                    self.assertIn(flag, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
