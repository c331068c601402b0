"""examples/compose at work: real PostgreSQL with replicas, three gateways, the real HAProxy and Prometheus, from the very files."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from stack import GATEWAYS, SHARDS, Stack, gateway, prometheus, wait_until


class StackTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="quarry-stack-")
        cls.addClassCleanup(folder.cleanup)
        pathlib.Path(folder.name).chmod(0o755)  # PostgreSQL's account goes through it.
        cls.stack = Stack(pathlib.Path(folder.name))
        cls.addClassCleanup(cls.stack.close)
        cls.stack.start()
        wait_until("all gateways are up at the balancer", lambda: set(cls.states()) == {"UP"})

    @classmethod
    def states(cls):
        """What the balancer thinks of its servers, in the order of its file; none when it is not there yet."""
        cls.stack.must_run("balancer")
        url = f"http://127.0.0.1:{cls.stack.front[8404]}/;csv"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                rows = [line.split(",") for line in reply.read().decode().splitlines()]
        except (urllib.error.URLError, ConnectionError):
            return []
        return [row[17].split()[0] for row in rows if row[1].startswith("gateway-")]

    def call(self, method, body):
        """A call of the JSON port, through the balancer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.stack.front[7480]}/quarry.v1.{method}",
                                         json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def ctl(self, *arguments):
        command = [gateway.binary("QUARRYCTL"), "--address", f"127.0.0.1:{self.stack.front[7400]}", *arguments]
        env = {**os.environ, "QUARRYCTL_CONFIG": str(self.stack.folder / "none")}
        done = subprocess.run(command, text=True, capture_output=True, env=env, check=False)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def handled(self, name):
        """Calls of the data service that a gateway has answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stack.http[name]}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines
                   if line.startswith("grpc_server_handled_total") and "DataService" in line)

    def test_every_shard_has_a_replica_that_confirms_commits(self):
        self.ctl("upsert", "countries", "code=NL", "name=Netherlands")
        for shard in SHARDS:
            self.assertEqual(self.stack.ask(shard, "SELECT application_name, sync_state FROM pg_stat_replication"),
                             "replica|sync", shard)
            # A commit waits until its replica has it on disk, not until a query there sees it.
            wait_until(f"the replica of {shard} shows the row", lambda shard=shard: self.stack.ask(
                f"{shard}-replica", "SELECT name FROM countries", "quarry", "SHARD_PASSWORD") == "Netherlands")
            self.assertEqual(self.stack.ask(shard, "SELECT rolsuper FROM pg_roles WHERE rolname = 'quarry'"), "f")

    def test_calls_of_one_client_are_spread_over_the_gateways(self):
        before = {name: self.handled(name) for name in GATEWAYS}
        done = subprocess.run(["sh", "-euc", self.stack.load_command(3)], text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        calls = [self.handled(name) - before[name] for name in GATEWAYS]
        self.assertGreater(min(calls), 100, calls)
        self.assertGreater(min(calls), max(calls) / 2, calls)

    def test_a_transaction_goes_on_through_whichever_gateway_the_balancer_picks(self):
        begun = self.call("TransactionService/Begin", {})["transactionId"]
        for customer in range(1000, 1012):
            self.call("DataService/Insert", {"table": "customers", "transactionId": begun, "record": {"columns": {
                "customer_id": {"int64Value": str(customer)}, "name": {"textValue": "Ada"}}}})
        self.call("TransactionService/Commit", {"transactionId": begun})
        found = self.ctl("aggregate", "customers", "--filter", "customer_id >= 1000 AND customer_id < 1012", "--agg",
                         "count(*) as n", "-o", "json")
        self.assertEqual(json.loads(found), {"n": 12})

    def test_prometheus_scrapes_gateways_and_balancer_and_has_the_rules(self):
        api = prometheus.Prometheus(self.stack.front[9090])

        def up():
            self.stack.must_run("prometheus")
            with contextlib.suppress(OSError, RuntimeError):  # While it starts it refuses, then answers 503.
                return {(one["metric"]["job"], one["value"][1]) for one in api.query("sum by (job) (up)")}

        wait_until("all targets are scraped", lambda: up() == {("quarry", "3"), ("balancer", "1")})
        groups = api.get("rules")["groups"]
        self.assertEqual({pathlib.Path(group["file"]) for group in groups}, set(prometheus.RULES))
        wait_until("the rules have been evaluated", lambda: all(
            rule["health"] == "ok" for group in api.get("rules")["groups"] for rule in group["rules"]))
        fronts = {one["metric"]["proxy"] for one in api.query("haproxy_frontend_status")}
        self.assertLessEqual({"grpc", "json"}, fronts)

    def test_the_metrics_of_a_gateway_are_not_served_by_the_balancer(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{self.stack.front[7480]}/metrics", timeout=5)
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()

    def write_while(self, signal_number, name, first):
        """Sixty writes, one after the other; a gateway gets the signal after the twentieth. None may fail."""
        process = self.stack.processes[name]
        for customer in range(first, first + 60):
            if customer == first + 20:
                process.send_signal(signal_number)
            self.ctl("insert", "customers", f"customer_id={customer}", "name=Ada")
        code = process.wait(timeout=60)
        wait_until(f"the balancer has noticed that {name} is gone", lambda: self.states().count("DOWN") == 2)
        found = self.ctl("aggregate", "customers", "--filter", f"customer_id >= {first} AND customer_id < {first + 60}",
                         "--agg", "count(*) as n", "-o", "json")
        self.assertEqual(json.loads(found), {"n": 60})
        self.stack.start_gateway(name)
        wait_until(f"{name} is back", lambda: set(self.states()) == {"UP"})
        return code

    def test_writes_go_on_while_a_gateway_drains(self):
        self.assertEqual(self.write_while(signal.SIGTERM, "gateway-0", 2000), 0)

    def test_writes_go_on_when_a_gateway_is_killed(self):
        self.assertEqual(self.write_while(signal.SIGKILL, "gateway-1", 3000), -signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
