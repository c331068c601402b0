#!/usr/bin/env python3
"""The first benchmark: Get and Update over SQLite and PostgreSQL shards beside a bare echo and pgbench, in one run.

    run.py --bin build/release/bin [--rounds 5] [--seconds 2] [--concurrency 1,16,64]

Starts everything itself on free ports: the echo server, one quarryd on four SQLite shards, one on four PostgreSQL
databases of one durable cluster. The cells are interleaved and repeated; the table has medians, and ratios to
the echo and to pgbench of the same run. Absolute figures are noise from machine to machine: compare ratios.
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/integration" / name) for name in ("clients", "dataset")]
import gateway  # noqa: E402  (Found through the path above.)
import postgres  # noqa: E402

KEYS = 10_000
SHARDS = 4
TABLES = """
resolvers:
  by_id: {type: consistent_hash}
tables:
  accounts: {kind: sharded, key: id, resolver: by_id}
"""
SCHEMA = "CREATE TABLE accounts (id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL, owner TEXT NOT NULL)"


def config_of(folder, shards):
    lines = [f"data_dir: {folder / 'data'}", "log: {level: error}", "shards:"]
    lines += [f"  s{i}: {shard}" for i, shard in enumerate(shards)]
    path = folder / "quarry.yaml"
    path.write_text("\n".join(lines) + TABLES, encoding="utf-8")
    return path


@contextlib.contextmanager
def filled_gateway(binaries, folder, shards):
    """quarryd with its accounts; yields its address."""
    with gateway.quarryd(folder, "--config", str(config_of(folder, shards))) as (_, ports):
        address = f"127.0.0.1:{ports['grpc']}"
        rows = folder / "accounts.csv"
        with open(rows, "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["id", "balance", "owner"])
            writer.writerows((i, 1_000, f"owner {i}") for i in range(1, KEYS + 1))
        subprocess.run([binaries / "quarryctl", "--address", address, "import", str(rows), "--table", "accounts"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield address


@contextlib.contextmanager
def echo(binaries):
    server = subprocess.Popen([binaries / "echo_server"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.kill()
        server.wait()


def calls(binaries, address, mix, concurrency, seconds):
    done = subprocess.run([binaries / "call_bench", address, "--mix", mix, "--keys", str(KEYS), "--concurrency",
                           str(concurrency), "--seconds", str(seconds)], check=True, stdout=subprocess.PIPE, text=True)
    report = json.loads(done.stdout)
    if report["errors"]:
        sys.exit(f"{address} {mix}: {report['errors']} calls failed: {report['first_error']}")
    return report


def pgbench(folder, port, script, clients, seconds):
    path = folder / "script.sql"
    path.write_text(f"\\set id random(1, {KEYS})\n{script}\n", encoding="utf-8")
    done = subprocess.run([postgres.programs() / "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T",
                           str(max(1, round(seconds))), "-f", str(path), "-h", "127.0.0.1", "-p", str(port), "-U", "quarry",
                           "bench"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return {"calls_per_second": float(re.search(r"tps = ([0-9.]+)", done.stdout).group(1))}


def measure(cells, rounds):
    results = {name: [] for name in cells}
    for turn in range(rounds):
        for name, run in cells.items():
            results[name].append(run())
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0] if key.endswith(("second", "_us"))}
            for name, runs in results.items()}


def show(results):
    print(f"{'what':<28}{'calls/s':>10}{'p50 us':>9}{'p99 us':>9}{'/ echo':>8}{'/ pgbench 32':>14}")
    for (what, width), cell in results.items():
        rate = cell["calls_per_second"]
        line = f"{what + (f', {width} in flight' if width else ''):<28}{rate:>10.0f}"
        if "p50_us" in cell:
            base = results[("echo", width)]["calls_per_second"]
            line += f"{cell['p50_us']:>9.0f}{cell['p99_us']:>9.0f}{rate / base:>8.2f}"
            if what.startswith("pg "):
                kind = "pgbench SELECT" if what.endswith("Get") else "pgbench UPDATE"
                line += f"{rate / results[(kind, 0)]['calls_per_second']:>14.2f}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--concurrency", default="1,16,64")
    arguments = parser.parse_args()
    binaries, seconds = arguments.bin.resolve(), arguments.seconds
    os.environ["QUARRYD"] = str(binaries / "quarryd")
    os.environ["QUARRYCTL_CONFIG"] = os.devnull
    widths = [int(width) for width in arguments.concurrency.split(",")]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-bench-")))
        folder.chmod(0o755)  # PostgreSQL runs as somebody else.
        databases = [f"shard{i}" for i in range(SHARDS)]
        port = stack.enter_context(postgres.cluster(folder / "cluster", [*databases, "bench"]))
        url = f"postgresql://quarry@127.0.0.1:{port}"
        for database in [*databases, "bench"]:
            subprocess.run(["psql", "-q", f"{url}/{database}", "-c", SCHEMA], check=True)
        fill = f"INSERT INTO accounts SELECT i, 1000, 'owner ' || i FROM generate_series(1, {KEYS}) AS i"
        subprocess.run(["psql", "-q", f"{url}/bench", "-c", fill], check=True)
        targets = {}
        for kind in ("sqlite", "pg"):
            (folder / kind / "data").mkdir(parents=True)
        for i in range(SHARDS):
            subprocess.run(["sqlite3", str(folder / "sqlite/data" / f"s{i}.db"), SCHEMA], check=True)
        shards = [f"{{sqlite: {{file: s{i}.db}}}}" for i in range(SHARDS)]
        targets["sqlite"] = stack.enter_context(filled_gateway(binaries, folder / "sqlite", shards))
        shards = [f'{{postgres: {{primary: "{url}/{database}"}}}}' for database in databases]
        targets["pg"] = stack.enter_context(filled_gateway(binaries, folder / "pg", shards))
        echo_address = stack.enter_context(echo(binaries))
        cells = {}
        for width in widths:
            cells[("echo", width)] = lambda w=width: calls(binaries, echo_address, "get", w, seconds)
            for kind, address in targets.items():
                for mix in ("get", "update"):
                    cells[(f"{kind} {mix.capitalize()}", width)] = (
                        lambda a=address, m=mix, w=width: calls(binaries, a, m, w, seconds))
        select = "SELECT id, balance, owner FROM accounts WHERE id = :id;"
        update = "UPDATE accounts SET balance = balance + 1 WHERE id = :id;"
        cells[("pgbench SELECT", 0)] = lambda: pgbench(folder, port, select, 32, seconds)
        cells[("pgbench UPDATE", 0)] = lambda: pgbench(folder, port, update, 32, seconds)
        show(measure(cells, arguments.rounds))


if __name__ == "__main__":
    main()
