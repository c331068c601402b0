"""How cost grows with the work: each series is measured on servers of its own, one after the other."""

import contextlib
import json
import pathlib
import sys
import time
import urllib.request

import goals
import series as reports
import stand as stands
from series import Series

CPU, ITEMS, CALLS, P50, P99 = goals.CPU, goals.ITEMS, goals.CALLS, goals.P50, goals.P99
SHARDS = 4
MIB = 1024 * 1024
CALLS_S, P99_US, CPU_CALL = "calls/s", "p99 us", "CPU us a call"


def thinned(points, quick):
    """Every second one, from the last backwards, and always the first."""
    return points if not quick else sorted({points[0], *points[::-2]})


@contextlib.contextmanager
def prepared(stand, kind, names, count=SHARDS, settings=()):
    """Shards with empty tables; yields what starts a gateway in front of them."""
    databases, folder = [f"shard{index}" for index in range(count)], stand.fresh(kind)
    with contextlib.ExitStack() as stack:
        if kind == "pg":
            stack.enter_context(stand.cluster(databases))
            shards = stand.postgres_shards(databases, stands.create(*names))
        else:
            shards = stand.sqlite_shards(folder, count, stands.create(*names))
        yield lambda: stand.gateway(folder, shards, names, settings)


@contextlib.contextmanager
def gateways(run, kinds=("sqlite", "pg"), count=SHARDS, names=("accounts",), settings=()):
    """Kind to gateway, with its tables made and empty."""
    with contextlib.ExitStack() as stack:
        starts = {
            kind: stack.enter_context(prepared(run.stand, kind, names, count, settings)) for kind in kinds
        }
        yield {kind: stack.enter_context(start()) for kind, start in starts.items()}


def shards(run, quick):
    """Get, BatchGet and a statement on every shard, over 1 to 64 SQLite files."""
    get, batch, scatter = [], [], []
    for count in thinned([1, 2, 4, 8, 16, 32, 64], quick):
        with gateways(run, ("sqlite",), count) as served:
            gate = served["sqlite"]
            run.stand.fill(gate)
            cell = run.calls(gate, "get", 64)
            get.append((count, (cell[CALLS], cell[P99], cell[CPU])))
            cell = run.calls(gate, "batch_get", 16, "--batch", 100)
            batch.append((count, (cell[ITEMS], cell[P99], cell[CPU])))
            cell = run.calls(gate, "sql_scan", 8, "--sql", "SELECT 1")
            scatter.append((count, (cell[CALLS], cell[P99], cell[CPU])))
    names = (CALLS_S, P99_US, CPU_CALL)
    title = "SQLite {}, by shards"
    yield Series("shards_get", title.format("Get, 64 in flight"), "shards", names, get)
    names = ("keys/s", P99_US, CPU_CALL)
    yield Series("shards_batch_get", title.format("BatchGet of 100, 16 in flight"), "shards", names, batch)
    names = (CALLS_S, P99_US, CPU_CALL)
    title = title.format("OnAllShards for one row from each, 8 in flight")
    yield Series("shards_scatter", title, "shards", names, scatter, "shard")


def concurrency(run, quick):
    """Get and Update, 1 to 512 calls in flight."""
    widths = thinned([1, 2, 4, 8, 16, 32, 64, 128, 256, 512], quick)
    names = (CALLS_S, "p50 us", P99_US, "errors", CPU_CALL)
    with gateways(run) as served:
        for kind, gate in served.items():
            run.stand.fill(gate)
            for op in ("get", "update"):
                points = []
                for width in widths:
                    cell = run.calls(gate, op, width, errors_allowed=True)
                    points.append((width, (cell[CALLS], cell[P50], cell[P99], cell["errors"], cell[CPU])))
                title = f"{stands.NAMES[kind]} {op}, by calls in flight"
                yield Series(f"calls_{kind}_{op}", title, "calls in flight", names, points)


def rows(run, quick):
    """Get and Upsert of rows of 100 B to 1 MiB."""
    sizes = thinned([100, 1_000, 10_000, 100_000, MIB], quick)
    tables = [f"rows_{size}" for size in sizes]
    with gateways(run, names=tables) as served:
        for kind, gate in served.items():
            for op in ("get", "upsert"):
                points = []
                for size, table in zip(sizes, tables):
                    keys = max(8, min(1_000, 16 * MIB // size))
                    if op == "get":
                        run.stand.fill(gate, table, keys, size)
                    cell = run.calls(gate, op, 8, "--value-bytes", size, keys=keys, table=table)
                    points.append((size, (cell[CALLS], cell[CALLS] * size / MIB, cell[P99], cell[CPU])))
                title = f"{stands.NAMES[kind]} {op}, 8 in flight, by size of the row"
                names = (CALLS_S, "MiB/s", P99_US, CPU_CALL)
                yield Series(f"rows_{kind}_{op}", title, "bytes a row", names, points, "byte")


def batches(run, quick):
    """BatchGet and BatchWrite of 1 to 1,000."""
    sizes = thinned([1, 3, 10, 30, 100, 300, 1_000], quick)
    with gateways(run) as served:
        for kind, gate in served.items():
            run.stand.fill(gate)
            for op in ("batch_get", "batch_write"):
                points = []
                for size in sizes:
                    cell = run.calls(gate, op, 8, "--batch", size)
                    points.append((size, (cell[ITEMS], cell[P99], cell[CPU])))
                title = f"{stands.NAMES[kind]} {op}, 8 in flight, by items of a call"
                names = ("items/s", P99_US, CPU_CALL)
                yield Series(f"batch_{kind}_{op}", title, "items a call", names, points, "item")


COUNTED = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "SELECT i, i * 7 AS balance, 'row number ' || i AS payload FROM n",
    "pg": "SELECT i, i * 7 AS balance, 'row number ' || i AS payload "
    "FROM generate_series(1::bigint, {rows}) AS i",
}


def streams(run, quick):
    """OnAllShards calls of a thousand to ten million rows each, which the databases make up."""
    sizes = [1_000, 10_000, 100_000, 1_000_000] + ([] if quick else [10_000_000])
    with gateways(run) as served:
        for kind, gate in served.items():
            run.scans(gate, COUNTED[kind].format(rows=1_000), 1)
            points = []
            for size in sizes:
                count = max(1, 500_000 // size)  # CPU is counted in hundredths of a second.
                cell = run.scans(gate, COUNTED[kind].format(rows=size // SHARDS), count)
                points.append((size, (size / cell["seconds"], cell["rss_bytes"] / MIB, cell[CPU])))
            title = f"{stands.NAMES[kind]} OnAllShards over {SHARDS} shards, 1 in flight, by rows"
            names = ("rows/s", "resident MiB", CPU_CALL)
            yield Series(f"streams_{kind}", title, "rows", names, points, "row")


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def connections(run, quick):
    """The gateway's memory for each client connection that is open, has made one call and is idle."""
    points = []
    for count in thinned([1, 50, 100, 200, 400], quick):
        with gateways(run, ("sqlite",)) as served:
            gate = served["sqlite"]
            run.stand.fill(gate, keys=10)
            with run.held_channels(gate, 1):
                before = resident(gate.pid)
                with run.held_channels(gate, count):
                    grown = resident(gate.pid) - before
        points.append((count, (grown / 1024,)))
    title = "Memory of client connections that have made one call and are idle"
    yield Series("memory_connections", title, "connections", ("KiB more",), points, "connection")


def post(gate, method, body):
    request = urllib.request.Request(
        f"{gate.http}/quarry.v1.{method}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def transactions(run, quick):
    """The gateway's memory for each open transaction: just begun, and after a read, which holds a session."""
    for kind in ("sqlite", "pg"):
        for title, reads in (("begun", False), ("with one read, holding a session", True)):
            points = []
            for count in thinned([1, 50, 100, 200], quick):
                with gateways(run, (kind,), settings=("pools.sessions=250",)) as served:
                    gate = served[kind]
                    run.stand.fill(gate)
                    open_transactions(gate, 1, reads, first=1)
                    before = resident(gate.pid)
                    open_transactions(gate, count, reads, first=2)
                    grown = resident(gate.pid) - before
                points.append((count, (grown / 1024,)))
            name = f"memory_transactions_{kind}_{'read' if reads else 'begun'}"
            title = f"{stands.NAMES[kind]}: memory of open transactions, {title}"
            yield Series(name, title, "transactions", ("KiB more",), points, "transaction")


def open_transactions(gate, count, reads, first):
    """Each reads a row of its own if it reads, and stays open."""
    for key in range(first, first + count):
        begun = post(gate, "TransactionService/Begin", {"readOnly": True})
        if reads:
            row = {"table": "accounts", "key": {"values": [{"int64Value": str(key)}]}}
            post(gate, "DataService/Get", {**row, "transactionId": begun["transactionId"]})


def tables_at_start(run, quick):
    """From exec to /readyz with 1 to 1,000 tables on each of four shards."""
    for kind in ("sqlite", "pg"):
        points = []
        for count in thinned([1, 10, 100, 1_000], quick):
            with prepared(run.stand, kind, [f"table_{index}" for index in range(count)]) as start:
                with start():
                    pass  # Once before, so that files and caches are warm.
                began = time.monotonic()
                with start() as served:
                    took = (time.monotonic() - began) * 1000
                    points.append((count, (resident(served.pid) / MIB, took)))
        title = f"{stands.NAMES[kind]}: start with many tables on each of {SHARDS} shards, exec to ready"
        yield Series(f"start_{kind}", title, "tables", ("resident MiB", "milliseconds"), points, "table")


SERIES = {
    "shards": shards,
    "calls": concurrency,
    "rows": rows,
    "batch": batches,
    "streams": streams,
    "connections": connections,
    "transactions": transactions,
    "start": tables_at_start,
}


def run(run_programs, options):
    if options.quick:
        run_programs.seconds = min(run_programs.seconds, 1)
    chosen = [make for name, make in SERIES.items() if options.only.search(name)]
    machine, every = stands.machine(), []
    print(f"{machine}\n{options.command}\n")
    for make in chosen:
        for series in make(run_programs, options.quick):
            every.append(series)
            print(reports.text(series), flush=True)
    if options.json:
        report = {
            "machine": machine,
            "command": options.command,
            "series": [reports.plain(series) for series in every],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    options.html.write_text(reports.page(machine, options.command, every), encoding="utf-8")
    print(f"plots: {options.html}", file=sys.stderr)
    return 0
