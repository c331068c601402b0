"""The ratios of the short run, and the cells that they are made of."""

import contextlib
import json

import programs
import ratios
import stand as stands

SHARDS = 4
SCANNED_ROWS = 200_000
BATCH = 100
GET_REQUEST_BYTES = 18  # Get of one row of "accounts", as encoded.

CALLS, ITEMS, P50, P99, CPU = "calls_per_second", "items_per_second", "p50_us", "p99_us", "cpu_us"


SELECT, UPDATE = ("pgbench_select_32", CALLS), ("pgbench_update_32", CALLS)
NO_GOAL = (None, None)


def _ratio(name, goal, goals, what, figure, *bases, lower=False):
    bases = tuple(ratios.Figure(*base) for base in bases)
    return ratios.Ratio(name, goal, what, ratios.Figure(*figure), bases, *goals, lower)


# Name, goal, pass and aim, what it says, what is divided, by what.
RATIOS = (
    _ratio("pg_get_64", "1", (0.60, 0.80), "PG Get, 64 in flight / pgbench SELECT, 32 clients",
           ("pg_get_64", CALLS), SELECT),
    _ratio("pg_get_16", "2", (0.45, 0.60), "PG Get, 16 in flight / pgbench SELECT, 32 clients",
           ("pg_get_16", CALLS), SELECT),
    _ratio("pg_batch_get", "3", (3, 5), "PG BatchGet of 100, keys/s / pgbench SELECT, 32 clients",
           ("pg_batch_get", ITEMS), SELECT),
    _ratio("pg_batch_write", "4", (2, 4), "PG BatchWrite of 100, rows/s / pgbench UPDATE, 32 clients",
           ("pg_batch_write", ITEMS), UPDATE),
    _ratio("pg_update_64", "5", (1.0, 1.3), "PG Update, 64 in flight / pgbench UPDATE, 32 clients",
           ("pg_update_64", CALLS), UPDATE),
    _ratio("sqlite_get_64", "6", (0.75, 0.90), "SQLite Get / bare echo, 64 in flight",
           ("sqlite_get_64", CALLS), ("echo_64", CALLS)),
    _ratio("sqlite_batch_get", "7", (1.5, 2.5), "SQLite BatchGet of 100, keys/s / one thread's reads",
           ("sqlite_batch_get", ITEMS), ("raw_sqlite_reads", ITEMS)),
    _ratio("sqlite_insert_64", "8", (3, 4), "SQLite Insert, 64 in flight / one thread's inserts",
           ("sqlite_insert_64", CALLS), ("raw_sqlite_inserts", ITEMS)),
    _ratio("pg_get_latency", "9", (1.25, 1.10), "PG Get alone, p50 us / (echo p50 + pgbench, 1 client)",
           ("pg_get_1", P50), ("echo_1", P50), ("pgbench_select_1", "latency_us"), lower=True),
    _ratio("pg_get_tail", "10", (4, 3), "PG Get, 64 in flight, p99 us / p50",
           ("pg_get_64", P99), ("pg_get_64", P50), lower=True),
    _ratio("sqlite_get_tail", "10", (4, 3), "SQLite Get, 64 in flight, p99 us / p50",
           ("sqlite_get_64", P99), ("sqlite_get_64", P50), lower=True),
    _ratio("routing_share", "11", (0.01, 0.005), "resolver alone, us / server's CPU of a PG Get",
           ("resolver", CPU), ("pg_get_64", CPU), lower=True),
    _ratio("pg_query", "12", (0.3, 0.5), "PG Query of a table in order, rows/s / libpq, ordered scan",
           ("pg_query", ITEMS), ("libpq_scan", ITEMS)),
    _ratio("pg_scan", "", NO_GOAL, "PG OnAllShards, no order, rows/s / libpq, ordered scan",
           ("pg_scan", ITEMS), ("libpq_scan", ITEMS)),
    _ratio("pg_get_echo", "", NO_GOAL, "PG Get / bare echo, 64 in flight",
           ("pg_get_64", CALLS), ("echo_64", CALLS)),
    _ratio("sqlite_update_64", "", NO_GOAL, "SQLite Update, 64 in flight / one thread's inserts",
           ("sqlite_update_64", CALLS), ("raw_sqlite_inserts", ITEMS)),
)


class Servers:
    """Both gateways, filled, and the echo, for as long as the block of servers() runs."""

    def __init__(self, run, postgres_gateway, sqlite_gateway, echo, reply_bytes):
        self.run, self.postgres, self.sqlite, self.echo = run, postgres_gateway, sqlite_gateway, echo
        self.reply_bytes = reply_bytes

    def echo_calls(self, concurrency):
        size = ("--request-bytes", GET_REQUEST_BYTES, "--response-bytes", self.reply_bytes)
        return self.run.calls(self.echo, "echo", concurrency, *size)

    def resolver(self):
        """One thread that does nothing but resolve an int64 key."""
        options = ("--benchmark_filter=^consistent_hash, int64$", "--benchmark_min_time=0.2")
        text = self.run.stand.run("../loadtest/micro/routing_bench", *options, "--benchmark_format=json")
        return {CPU: json.loads(text)["benchmarks"][0]["cpu_time"] / 1000}

    def cells(self):
        """Name of each cell to what runs it."""
        run, pg, sqlite = self.run, self.postgres, self.sqlite
        scan = "SELECT id, balance, payload FROM scanned"
        return {
            "echo_1": lambda: self.echo_calls(1),
            "echo_64": lambda: self.echo_calls(64),
            "pgbench_select_32": lambda: run.pgbench("bench", programs.select_script(), 32),
            "pgbench_select_1": lambda: run.pgbench("bench", programs.select_script(), 1),
            "pg_get_64": lambda: run.calls(pg, "get", 64),
            "pg_get_16": lambda: run.calls(pg, "get", 16),
            "pg_get_1": lambda: run.calls(pg, "get", 1),
            "pg_batch_get": lambda: run.calls(pg, "batch_get", 16, "--batch", BATCH),
            "pgbench_update_32": lambda: run.pgbench("bench", programs.update_script(), 32),
            "pg_update_64": lambda: run.calls(pg, "update", 64),
            "pg_batch_write": lambda: run.calls(pg, "batch_write", 16, "--batch", BATCH),
            "pg_scan": lambda: run.calls(pg, "sql_scan", 1, "--sql", scan),
            "pg_query": lambda: run.calls(pg, "query", 1, "--query-rows", 0, table="scanned"),
            "libpq_scan": lambda: run.pg_scan("bench", scan + " ORDER BY id"),
            "sqlite_get_64": lambda: run.calls(sqlite, "get", 64),
            "sqlite_batch_get": lambda: run.calls(sqlite, "batch_get", 16, "--batch", BATCH),
            "raw_sqlite_reads": lambda: run.sqlite_loop("read"),
            "sqlite_insert_64": lambda: run.calls(sqlite, "insert", 64, table="written"),
            "sqlite_update_64": lambda: run.calls(sqlite, "update", 64),
            "raw_sqlite_inserts": lambda: run.sqlite_loop("insert"),
            "resolver": self.resolver,
        }


@contextlib.contextmanager
def servers(run):
    """Four SQLite files, four databases of a durable cluster, one more for pgbench: the same rows everywhere."""
    stand = run.stand
    databases = [f"shard{index}" for index in range(SHARDS)]
    rows = "SELECT i, 1000, repeat('p', {size}) FROM generate_series(1, {count}) AS i"
    fill = [
        f"INSERT INTO {table} {rows.format(size=stands.VALUE_BYTES, count=count)}"
        for table, count in (("accounts", stands.KEYS), ("scanned", SCANNED_ROWS))
    ]
    part = f"INSERT INTO scanned {rows.format(size=stands.VALUE_BYTES, count=SCANNED_ROWS // SHARDS)}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(stand.cluster([*databases, "bench"]))
        stand.psql("bench", *stands.create("accounts", "scanned"), *fill, "VACUUM ANALYZE")
        names = ("accounts", "scanned")
        shards = stand.postgres_shards(databases, [*stands.create(*names), part, "VACUUM ANALYZE"])
        pg = stack.enter_context(stand.gateway("pg", shards, names))
        names = ("accounts", "written")
        shards = stand.sqlite_shards("sqlite", SHARDS, stands.create(*names))
        sqlite = stack.enter_context(stand.gateway("sqlite", shards, names))
        for served in (pg, sqlite):
            stand.fill(served)
        reply_bytes = run.reply_bytes(pg)
        echo = stack.enter_context(stand.echo(reply_bytes))
        yield Servers(run, pg, sqlite, echo, reply_bytes)
