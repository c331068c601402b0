"""A gateway takes no traffic before it knows the tables of its shards; once it does, a reload that fails changes nothing."""

import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import gateway

WAIT_SECONDS = 30
CONFIG = """
shards:
  s0: {sqlite: {file: s0.db}}
  s1: {sqlite: {file: s1.db}}
resolvers: {by_id: {type: hash}}
tables:
  accounts: {kind: sharded, key: id, resolver: by_id}
"""
UNHEALTHY = 12  # Exit code of quarryctl.


class Readiness(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="quarry-readiness-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        (self.folder / "quarry.yaml").write_text(CONFIG)

        self.log = self.folder / "log"

    def serving(self):
        log = self.enterContext(open(self.log, "w", encoding="utf-8"))
        return gateway.quarryd(self.folder, "--config", str(self.folder / "quarry.yaml"), "--set",
                               f"data_dir={self.folder / 'data'}", log=log)

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}/{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def ctl(self, *arguments):
        command = [gateway.binary("QUARRYCTL"), "--address", f"127.0.0.1:{self.ports['grpc']}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def sql(self, shards, statement):
        done = self.ctl("sql", *shards, "--allow-writes", statement)
        self.assertEqual(done.returncode, 0, done.stderr)

    def wait_until(self, what, holds):
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            self.assertLess(time.monotonic(), deadline, f"{what}: not within {WAIT_SECONDS} s; {self.log.read_text()}")
            time.sleep(0.05)  # A poll of another process.

    def expect_not_ready(self, why):
        self.wait_until("both shards are up", lambda: self.get("readyz")[1].count(": UP\n") == 2)
        status, body = self.get("readyz")
        self.assertEqual(status, 503)
        self.assertRegex(body, rf"(?s)^the tables are not known: .*{why};.*\nshard s0: UP\nshard s1: UP\n$")
        self.assertEqual(self.get("livez")[0], 200)
        self.assertIn("\nquarry_catalog_ready 0\n", self.get("metrics")[1])
        health = self.ctl("health")
        self.assertEqual(health.returncode, UNHEALTHY, health.stderr)
        self.assertRegex(health.stdout, r"gateway +not serving")
        self.assertRegex(health.stdout, f"(?s)the tables are not known yet: .*{why};")
        self.assertIn(why, json.loads(self.ctl("health", "-o", "json").stdout)["problem"])

    def test_a_table_that_is_missing_keeps_it_out_of_service_until_it_is_everywhere(self):
        with self.serving() as (server, self.ports):
            self.expect_not_ready("missing on s0, s1")
            self.sql(["--shard", "s0"], "CREATE TABLE accounts (id BIGINT NOT NULL PRIMARY KEY)")
            self.wait_until("s0 has it", lambda: "missing on s0" not in self.get("readyz")[1])
            self.expect_not_ready("missing on s1")
            self.sql(["--shard", "s1"], "CREATE TABLE accounts (id BIGINT NOT NULL PRIMARY KEY)")
            self.wait_until("ready", lambda: self.get("readyz") == (200, "ready\n"))
            self.assertIn("\nquarry_catalog_ready 1\n", self.get("metrics")[1])
            self.assertEqual(self.ctl("health").returncode, 0)
            self.reload_that_fails(server)

    def reload_that_fails(self, server):
        self.sql(["--shard", "s1"], "ALTER TABLE accounts ADD COLUMN name TEXT")
        for _ in range(2):
            self.reload_says(server, "catalog: ")
        self.assertEqual(self.get("readyz"), (200, "ready\n"))
        self.assertEqual(self.ctl("insert", "accounts", "id=1").returncode, 0)
        self.assertEqual(self.ctl("get", "accounts", "1").returncode, 0)
        self.sql(["--shard", "s0"], "ALTER TABLE accounts ADD COLUMN name TEXT")
        for _ in range(2):
            self.reload_says(server, "the tables of all 2 shards are known and alike")

    def reload_says(self, server, result):
        """Asks for a reload, which tells its result also when it is that of the last one."""
        before = len(self.log.read_text())
        server.send_signal(signal.SIGHUP)
        self.wait_until(f"it says {result}", lambda: result in self.log.read_text()[before:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
