"""Runs the programs that measure, and turns what they print into figures."""

import contextlib
import itertools
import json
import re
import subprocess

import stand as stands

_fresh_keys = itertools.count(10**12, 10**9)


def seconds_text(seconds):
    return f"{round(seconds * 1000)}ms"


def figures_of(report):
    """quarry-load's report, flat; the units are in the names."""
    latency, server = report["latency_us"], report.get("server") or {}
    figures = {
        "calls_per_second": report["calls_per_second"],
        "items_per_second": report["items_per_second"],
        "bytes_per_second": report["bytes_per_second"],
        "calls": report["calls"],
        "errors": report["errors"],
        "p50_us": latency["p50"],
        "p99_us": latency["p99"],
    }
    if server:
        figures |= {"cpu_us": server["cpu_us_per_call"], "rss_bytes": server["rss_bytes_max"]}
    return figures


class Programs:
    """`seconds` is the time of each measurement, after a short warm-up."""

    def __init__(self, stand, seconds, warmup=0.3):
        self.stand, self.seconds, self.warmup = stand, seconds, warmup

    def calls(
        self, served, op, concurrency, *options, keys=stands.KEYS, table="accounts", errors_allowed=False
    ):
        """A closed loop of quarry-load against a gateway, or against an address without one."""
        address, pid = (served, 0) if isinstance(served, str) else (served.address, served.pid)
        words = f"run {address} --op {op} --table {table} --keys {keys} --concurrency {concurrency} --json -".split()
        words += f"--duration {seconds_text(self.seconds)} --warmup {seconds_text(self.warmup)}".split()
        if op == "batch_write":
            words += ["--distribution", "sequential"]  # Batches in flight write different rows.
        if op == "batch_get":
            words += ["--channels", 2]  # One connection's calls run on one loop, and these fill it.
        if op == "insert":
            words += ["--insert-from", next(_fresh_keys)]
        if errors_allowed:
            words += ["--max-error-rate", 1]
        if pid:
            words += ["--server-pid", pid]
        report = json.loads(self.stand.run("quarry-load", *words, *options))
        if not report["calls"]:
            raise stands.Failed(f"{op} at {concurrency}: no call ended in {self.seconds} s")
        return figures_of(report)

    def scans(self, served, sql, count):
        """OnAllShards calls one after the other, and how long one took."""
        words = f"run {served.address} --op sql_scan --calls {count} --concurrency 1 --warmup 0s --json -".split()
        report = json.loads(self.stand.run("quarry-load", *words, "--sql", sql, "--server-pid", served.pid))
        return {**figures_of(report), "seconds": report["latency_us"]["mean"] / 1e6}

    @contextlib.contextmanager
    def held_channels(self, served, count):
        """Client connections that have made one call and stay open."""
        command = [self.stand.bin / "hold_channels", served.address, "--channels", str(count)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if holder.stdout.readline() != "ready\n":
                raise stands.Failed("hold_channels could not connect")
            yield
        finally:
            holder.stdin.close()
            holder.wait()

    def reply_bytes(self, served):
        """The size of one Get's reply."""
        cell = self.calls(served, "get", 1)
        return round(cell["bytes_per_second"] / cell["calls_per_second"])

    def pgbench(self, database, script, clients, weight=1):
        """Prepared statements over the unix socket; `weight` is the rows of one transaction."""
        path = self.stand.folder / "script.sql"
        path.write_text(script, encoding="utf-8")
        command = [stands.postgres.programs() / "pgbench", "-n", "-M", "prepared", "-j", "1", "-U", "quarry"]
        command += ["-c", str(clients), "-T", str(max(1, round(self.seconds))), "-f", str(path)]
        command += ["-h", str(self.stand.socket), "-p", str(self.stand.port), database]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        rate = float(re.search(r"tps = ([0-9.]+)", done.stdout).group(1))
        return {
            "calls_per_second": rate,
            "items_per_second": rate * weight,
            "latency_us": clients / rate * 1e6,
        }

    def sqlite_loop(self, op, batch=1):
        file = self.stand.folder / f"raw_{op}.db"
        options = ("--op", op, "--batch", batch, "--keys", stands.KEYS, "--value-bytes", stands.VALUE_BYTES)
        report = json.loads(self.stand.run("sqlite_loop", file, *options, "--seconds", self.seconds))
        rate = report["rows_per_second"]
        return {"items_per_second": rate, "calls_per_second": rate / batch}

    def pg_scan(self, database, sql):
        """The statement on one server, row by row."""
        text = self.stand.run("pg_scan", self.stand.conninfo(database), sql, "--seconds", self.seconds)
        return {"items_per_second": json.loads(text)["rows_per_second"]}


def select_script(keys=stands.KEYS):
    return f"\\set id random(1, {keys})\nSELECT id, balance, payload FROM accounts WHERE id = :id;\n"


def update_script(keys=stands.KEYS):
    draws = f"\\set id random(1, {keys})\n\\set balance random(1, 1000000)\n"
    return f"{draws}UPDATE accounts SET balance = :balance WHERE id = :id;\n"


def batch_script(batch, keys=stands.KEYS):
    draws = "".join(f"\\set id{index} random(1, {keys})\n" for index in range(batch))
    names = ", ".join(f":id{index}" for index in range(batch))
    return f"{draws}SELECT id, balance, payload FROM accounts WHERE id IN ({names});\n"
