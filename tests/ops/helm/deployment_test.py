"""Two pods of the chart's Deployment against real PostgreSQL: passwords of the Secret, probes, `helm test`, a transaction, a drain.

What a cluster adds is replaced: names of hosts and ports, TLS to the databases, and the peers' service by its addresses.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import chart
from quarryd_test import SECRETS, Pod, gateway

sys.path.insert(0, str(chart.REPO / "tests" / "support" / "postgres"))
from gateway import wait_until  # noqa: E402
from servers import Server, free_port, programs  # noqa: E402

TABLES = """CREATE TABLE accounts (account_id bigint PRIMARY KEY);
CREATE TABLE payments (account_id bigint, payment_id bigint, PRIMARY KEY (account_id, payment_id));
CREATE TABLE currencies (code text PRIMARY KEY);"""
PASSWORDS = {"pg0": SECRETS["pg-password"], "pg1": "p@ss"}  # The second stands encoded in a URI.
SECONDS = 60


class Started:
    """A pod whose quarryd runs on ports of this machine."""

    def __init__(self, rendered, root, replacements, peers, grpc):
        self.pod = Pod(rendered, root)
        self.grpc, self.http = grpc, free_port()
        file = self.pod.root / "etc/quarry/quarry.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in replacements:
            assert old in text, f"{old} is not in values/postgres.yaml any more"
            text = text.replace(old, new)
        file.write_text(f"{text}\npeers: {{addresses: {json.dumps(peers)}}}\n", encoding="utf-8")
        env = {**os.environ, **self.pod.env, "QUARRY_LISTEN_GRPC": f"127.0.0.1:{self.grpc}", "QUARRY_LISTEN_HTTP": f"127.0.0.1:{self.http}"}
        del env["QUARRY_PEERS_DNS"]
        self.log = self.pod.root / "log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([gateway.binary("QUARRYD"), *self.pod.arguments()], env=env, stdout=log, stderr=log,
                                            preexec_fn=gateway.die_with_parent)

    def probe(self, name):
        """The status that the kubelet would get."""
        url = f"http://127.0.0.1:{self.http}{self.pod.container[name]['httpGet']['path']}"
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return None

    def call(self, method, **request):
        asked = urllib.request.Request(f"http://127.0.0.1:{self.http}/quarry.v1.{method}", json.dumps(request).encode(),
                                       {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return json.load(reply)

    def ctl(self, *arguments):
        return subprocess.Popen([gateway.binary("QUARRYCTL"), "--address", f"127.0.0.1:{self.grpc}", *arguments], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def helm_test(self):
        """The exit code of the chart's test pod."""
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        arguments = [f"127.0.0.1:{self.grpc}" if ":" in argument else argument for argument in self.pod.test["args"]]
        return subprocess.run([gateway.binary("QUARRYCTL"), *arguments], capture_output=True, check=False).returncode

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=SECONDS)

    def end(self):
        self.process.kill()
        self.process.wait()


class DeploymentTest(unittest.TestCase):
    def setUp(self):
        stack = self.enterContext(contextlib.ExitStack())
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-deployment-")))
        folder.chmod(0o755)  # PostgreSQL's account goes through it.
        self.servers = {}
        for name, password in PASSWORDS.items():
            server = self.servers[name] = Server(name, folder / name, user="quarry")
            server.make_folder()
            server.finished(server.initialise(), "initdb")
            stack.callback(server.stop)
            server.start()
            server.wait_until_ready()
            server.sql("CREATE DATABASE shop")
            server.sql(TABLES, "shop")
            server.sql(f"ALTER ROLE quarry PASSWORD '{password}'")
            # From now on only who knows it comes in over TCP; this test goes in through the socket.
            (server.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
            server.tell(signal.SIGHUP)
            wait_until("passwords are asked for", lambda server=server: self.psql(server, "127.0.0.1", "SELECT 1").returncode != 0)
        ports = {name: server.port for name, server in self.servers.items()}
        replacements = [("host=pg0.db", f"host=127.0.0.1 port={ports['pg0']}"), ("pg1.db:5432", f"127.0.0.1:{ports['pg1']}"),
                        ("sslmode=require", "sslmode=disable")]
        grpc = [free_port(), free_port()]
        peers = [f"127.0.0.1:{port}" for port in grpc]
        rendered = chart.render("postgres")
        spec = chart.workload(chart.resources(rendered))["spec"]["template"]["spec"]
        self.grace = spec["terminationGracePeriodSeconds"]
        self.pods = []
        for at, port in enumerate(grpc):
            self.pods.append(Started(rendered, folder / f"pod{at}", replacements, peers, port))
            stack.callback(self.pods[-1].end)
        for one in self.pods:
            wait_until("a pod reaches both shards", lambda one=one: one.helm_test() == 0)

    @staticmethod
    def psql(server, host, sql):
        ask = [programs() / "psql", "-XqAtw", "-h", host, "-p", str(server.port), "-U", "quarry", "-d", "shop", "-c", sql]
        return subprocess.run(ask, capture_output=True, text=True, check=False)

    def sleepers(self):
        server = self.servers["pg0"]
        asked = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
        return int(self.psql(server, server.folder, asked).stdout)

    def test_two_pods_serve_and_one_drains(self):
        first, second = self.pods
        for one in self.pods:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertEqual(one.probe(probe), 200)

        # Over both shards, and through both pods.
        begun = first.call("TransactionService/Begin")["transactionId"]
        for account in range(20):
            second.call("DataService/Insert", table="accounts", transactionId=begun,
                        record={"columns": {"account_id": {"int64Value": str(account)}}})
        second.call("TransactionService/Commit", transactionId=begun)
        found = [int(self.psql(server, server.folder, "SELECT count(*) FROM accounts").stdout) for server in self.servers.values()]
        self.assertGreater(min(found), 0)
        self.assertEqual(sum(found), 20)

        # A call in flight ends well and new ones are refused, before the kubelet would kill.
        slow = first.ctl("sql", "--shard", "pg0", "SELECT pg_sleep(8)")
        self.addCleanup(slow.kill)
        wait_until("the statement runs", self.sleepers)
        began = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        wait_until("the pod is not ready", lambda: first.probe("readinessProbe") == 503)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            first.call("TransactionService/Begin")
        self.assertIn("DRAINING", refused.exception.read().decode())
        refused.exception.close()
        self.assertEqual(slow.wait(timeout=SECONDS), 0)
        self.assertEqual(first.process.wait(timeout=SECONDS), 0)
        pause = first.pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertLess(time.monotonic() - began, self.grace - pause)
        self.assertEqual(second.probe("readinessProbe"), 200)
        self.assertEqual(second.stop(), 0)

    def test_the_command_of_helm_test_fails_where_a_shard_is_down(self):
        self.servers["pg1"].stop()
        wait_until("the shard is seen to be down", lambda: self.pods[0].helm_test() == 12)


if __name__ == "__main__":
    unittest.main()
