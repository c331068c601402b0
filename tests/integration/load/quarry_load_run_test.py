"""quarry-load as its users run it: schema, config, load and every operation, against quarryd on SQLite shards."""

import contextlib
import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))
import gateway  # noqa: E402  (Found through the path above.)

SHARDS = [f"s{i}" for i in range(4)]
KEYS = 2_000
# Deletes come last: the others need the rows.
OPERATIONS = ["get", "batch_get", "insert", "update", "upsert", "read_modify_write", "batch_write", "commit", "sql_scan",
              "query", "list", "aggregate", "commit_across", "commit_apart", "begin_snapshot", "delete"]
LATENCY = {"mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"}


def command(*arguments):
    return [gateway.binary("LOAD_PROGRAM"), *map(str, arguments)]


def call(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)


@contextlib.contextmanager
def served(folder):
    """quarryd with the table of quarry-load on four SQLite shards; yields its process and address."""
    schema = call("schema", "--dialect", "sqlite").stdout
    (folder / "data").mkdir()
    for shard in SHARDS:
        with contextlib.closing(sqlite3.connect(folder / "data" / f"{shard}.db")) as database:
            database.executescript(schema)
    lines = [f"data_dir: {folder / 'data'}", "log: {level: error}", "shards:"]
    lines += [f"  {shard}: {{sqlite: {{file: {shard}.db}}}}" for shard in SHARDS]
    config = folder / "quarry.yaml"
    config.write_text("\n".join(lines) + "\n" + call("config").stdout, encoding="utf-8")
    with gateway.quarryd(folder, "--config", str(config)) as (server, ports):
        yield server, f"127.0.0.1:{ports['grpc']}"


class QuarryLoadRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="quarry-load-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def fill(self, address):
        done = call("load", address, "--keys", KEYS, "--value-bytes", 50, "--threads", 2, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["operations"]["batch_write"]["items"], KEYS)

    def check_rows(self):
        ids = []
        for shard in SHARDS:
            with contextlib.closing(sqlite3.connect(self.folder / "data" / f"{shard}.db")) as database:
                ids += [row[0] for row in database.execute("SELECT id FROM usertable WHERE length(payload) = 50")]
        self.assertEqual(sorted(ids), list(range(1, KEYS + 1)))

    def run_ok(self, address, *arguments):
        done = call("run", address, "--keys", KEYS, "--value-bytes", 50, "--concurrency", 8, "--warmup", "0s",
                    "--calls", 80, "--json", "-", *arguments)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        result = json.loads(done.stdout)
        self.check_result(result, arguments)
        return result

    def check_result(self, result, arguments):
        self.assertEqual((result["version"], result["errors"], result["first_error"]), (1, 0, ""), arguments)
        self.assertGreater(result["calls"], 0, arguments)
        self.assertGreater(result["items_per_second"], 0, arguments)
        self.assertGreater(result["bytes_per_second"], 0, arguments)
        self.assertEqual(LATENCY, set(result["latency_us"]), arguments)
        self.assertLessEqual(result["latency_us"]["p50"], result["latency_us"]["p99_99"], arguments)
        self.assertEqual(sum(each["calls"] for each in result["operations"].values()), result["calls"], arguments)
        self.assertEqual(sum(each["calls"] for each in result["timeline"]), result["calls"], arguments)
        self.assertAlmostEqual(result["calls_per_second"], result["calls"] / result["duration_seconds"], delta=1)

    def test_every_operation_succeeds_and_is_counted(self):
        with served(self.folder) as (server, address):
            self.fill(address)
            self.check_rows()
            for number, operation in enumerate(OPERATIONS):
                result = self.run_ok(address, "--op", operation, "--batch", 20, "--insert-from",
                                     1_000_000 * (number + 1), "--server-pid", server.pid)
                self.assertEqual(list(result["operations"]), [operation])
                self.assertGreater(result["server"]["rss_bytes_max"], 1 << 20, operation)
                if operation == "batch_get":
                    self.assertEqual(result["operations"][operation]["items"], 20 * result["calls"])

    def test_questions_over_one_cut_and_calls_of_an_open_transaction(self):
        with served(self.folder) as (_, address):
            self.fill(address)
            for operation in ("query", "list", "aggregate"):
                result = self.run_ok(address, "--op", operation, "--snapshot", "true", "--query-rows", 10)
                self.assertGreater(result["operations"][operation]["items"], 0)
            done = call("run", address, "--op", "get", "--transaction", "unknown", "--concurrency", 8)
            self.assertEqual(done.returncode, 2)
            self.assertIn("concurrency is 1", done.stderr)
            done = call("run", address, "--op", "get", "--keys", KEYS, "--transaction", "unknown", "--concurrency", 1,
                        "--warmup", "0s", "--calls", 1)
            self.assertEqual(done.returncode, 3, "the id goes with each call, and none is open")

    def test_scenarios_run_in_both_loops_and_are_reported(self):
        with served(self.folder) as (_, address):
            self.fill(address)
            paths = []
            for number, scenario in enumerate(["ycsb-a", "ycsb-d", "ycsb-e", "ycsb-f", "hot-tenant"]):
                paths.append(self.folder / f"{scenario}.json")
                result = self.run_ok(address, "--scenario", scenario, "--insert-from", 1_000_000 * (number + 1))
                self.assertEqual(result["scenario"]["name"], scenario)
                paths[-1].write_text(json.dumps(result), encoding="utf-8")
            done = call("run", address, "--op", "get:95", "--op", "update:5", "--keys", KEYS, "--rate", 500, "--warmup",
                        "0s", "--duration", "0.4s", "--json", self.folder / "open.json", "--html",
                        self.folder / "open.html")
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads((self.folder / "open.json").read_text())
            self.assertEqual(result["calls"], 200, "an open loop sends its whole schedule")
            self.assertEqual(LATENCY, set(result["service_us"]))
            self.assertIn("get 95 %", done.stdout)
            compared = self.folder / "compared.html"
            done = call("report", *paths, self.folder / "open.json", "--html", compared)
            self.assertEqual(done.returncode, 0, done.stderr)
            for page in (compared, self.folder / "open.html"):
                self.assertTrue(page.read_text().startswith("<!doctype html>"))

    def test_server_that_dies_gives_exit_code_3_and_the_reason(self):
        with self.assertRaises(SystemExit), served(self.folder) as (server, address):
            self.fill(address)
            load = subprocess.Popen(command("run", address, "--op", "get", "--keys", KEYS, "--duration", "3s", "--warmup",
                                            "0s", "--progress", "--json", self.folder / "died.json"),
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(load.kill)
            while "p50" not in load.stderr.readline():
                self.assertIsNone(load.poll())
            server.send_signal(signal.SIGKILL)
            server.wait()
            out, _ = load.communicate(timeout=60)
            self.assertEqual(load.returncode, 3)
            self.assertIn("failed with UNAVAILABLE", out)
            result = json.loads((self.folder / "died.json").read_text())
            self.assertGreater(result["calls"], result["errors"])
            self.assertEqual(result["errors_by_reason"][0]["code"], "UNAVAILABLE")

    def test_interrupted_run_still_reports(self):
        with served(self.folder) as (_, address):
            self.fill(address)
            # A shell that runs this test in the background makes its children ignore SIGINT.
            load = subprocess.Popen(command("run", address, "--op", "get", "--keys", KEYS, "--duration", "1h", "--warmup",
                                            "0s", "--progress", "--json", "-"),
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            self.addCleanup(load.kill)
            while "p50" not in load.stderr.readline():
                self.assertIsNone(load.poll())
            load.send_signal(signal.SIGINT)
            out, _ = load.communicate(timeout=60)
            self.assertEqual(load.returncode, 0)
            self.assertTrue(json.loads(out)["interrupted"])

    def test_what_cannot_run_says_why(self):
        for code, message, arguments in [
            (1, "no gRPC server answers", ("run", "127.0.0.1:1", "--op", "get", "--connect-timeout", "0.2s")),
            (2, "did you mean \"get\"", ("run", "127.0.0.1:1", "--op", "gett")),
            (2, "did you mean \"ycsb-a\"", ("run", "127.0.0.1:1", "--scenario", "ycbs-a")),
            (2, "no operation", ("run", "127.0.0.1:1")),
            (1, "there is no process 999999999", ("run", "127.0.0.1:1", "--op", "get", "--server-pid", "999999999")),
            (2, "cannot read", ("report", str(self.folder / "none.json"))),
        ]:
            done = call(*arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(message, done.stderr)

    def test_help_and_built_in_scenarios_are_printed(self):
        for arguments in (["--help"], *([name, "--help"] for name in ("run", "load", "report", "schema", "config",
                                                                     "scenarios"))):
            self.assertIn("Usage:", call(*arguments).stdout)
        self.assertIn("ycsb-a", call("scenarios").stdout)
        self.assertIn("operations:", call("scenarios", "show", "ycsb-a").stdout)


if __name__ == "__main__":
    unittest.main()
