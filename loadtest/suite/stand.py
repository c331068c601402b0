"""What a measurement runs against: a durable PostgreSQL cluster, SQLite files, gateways, a bare echo.

All of it lives in one temporary folder, on free ports, and ends with the block that started it.
"""

import contextlib
import itertools
import os
import pathlib
import platform
import sqlite3
import subprocess
import sys
from typing import NamedTuple

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/integration" / name) for name in ("clients", "dataset")]
import gateway  # noqa: E402  (Found through the path above.)
import postgres  # noqa: E402

KEYS = 10_000
VALUE_BYTES = 100
FILL_BYTES = 2 * 1024 * 1024  # Of one call that fills; a message holds 4 MiB.
NAMES = {"sqlite": "SQLite", "pg": "PG"}
COLUMNS = "(id BIGINT NOT NULL PRIMARY KEY, balance BIGINT NOT NULL, payload TEXT NOT NULL)"
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on", "max_connections=900",
           "max_prepared_transactions=100")


class Failed(Exception):
    """A measurement did not come to its end."""


class Served(NamedTuple):
    """A running quarryd."""

    address: str
    http: str
    pid: int


class Stand:
    def __init__(self, build, folder):
        self.bin = build / "bin"
        self.build = build
        self.folder = folder
        self.port = self.socket = None  # Of the cluster that was started last.
        self._numbers = itertools.count(1)

    def fresh(self, name):
        """A name of its own for a folder in the stand's folder."""
        return f"{name}{next(self._numbers)}"

    def run(self, program, *arguments):
        """The output of one of our programs. Raises Failed with what it said."""
        command = [self.bin / program, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            words = " ".join(map(str, command[1:]))
            raise Failed(f"{program} {words}\nended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout

    # ---- PostgreSQL ----

    @contextlib.contextmanager
    def cluster(self, databases):
        self.socket = self.folder / self.fresh("cluster")
        with postgres.cluster(self.socket, databases, DURABLE) as self.port:
            yield

    def conninfo(self, database):
        """Over TCP, as a gateway reaches its shards."""
        return f"host=127.0.0.1 port={self.port} user=quarry dbname={database}"

    def socket_conninfo(self, database):
        return f"host={self.socket} port={self.port} user=quarry dbname={database}"

    def psql(self, database, *statements):
        commands = [word for statement in statements for word in ("-c", statement)]
        subprocess.run(
            ["psql", "-q", "-v", "ON_ERROR_STOP=1", self.socket_conninfo(database), *commands],
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def postgres_shards(self, databases, statements):
        """Shards of a configuration; runs the statements on each."""
        for database in databases:
            self.psql(database, *statements)
        return [f'{{postgres: {{primary: "{self.conninfo(database)}"}}}}' for database in databases]

    # ---- SQLite ----

    def sqlite_shards(self, name, count, statements):
        """The same for files of the gateway `name`."""
        data = self.folder / name / "data"
        data.mkdir(parents=True)
        for index in range(count):
            with contextlib.closing(sqlite3.connect(data / f"s{index}.db")) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(
                    "PRAGMA synchronous=OFF"
                )  # Only while it is filled: quarryd opens it with FULL.
                for statement in statements:
                    database.execute(statement)
                database.commit()
        return [f"{{sqlite: {{file: s{index}.db}}}}" for index in range(count)]

    # ---- Servers ----

    def config(self, name, shards, tables):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        lines = [f"data_dir: {folder / 'data'}", "log: {level: error}", "shards:"]
        lines += [f"  s{index}: {shard}" for index, shard in enumerate(shards)]
        lines += ["resolvers:", "  by_id: {type: consistent_hash}", "tables:"]
        lines += [f"  {table}: {{kind: sharded, key: id, resolver: by_id}}" for table in tables]
        path = folder / "quarry.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @contextlib.contextmanager
    def gateway(self, name, shards, tables=("accounts",), settings=()):
        os.environ["QUARRYD"] = str(self.bin / "quarryd")
        extra = [word for setting in settings for word in ("--set", setting)]
        path = self.config(name, shards, tables)
        with gateway.quarryd(self.folder / name, "--config", str(path), *extra) as (server, ports):
            yield Served(f"127.0.0.1:{ports['grpc']}", f"http://127.0.0.1:{ports['http']}", server.pid)

    def fill(self, served, table="accounts", keys=KEYS, value_bytes=VALUE_BYTES):
        batch = max(1, min(100, FILL_BYTES // value_bytes))
        words = f"load {served.address} --table {table} --keys {keys} --value-bytes {value_bytes} --batch {batch}"
        self.run("quarry-load", *words.split())

    @contextlib.contextmanager
    def echo(self, response_bytes):
        server = subprocess.Popen(
            [self.bin / "echo_server", "--response-bytes", str(response_bytes)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=gateway.die_with_parent,
        )
        try:
            yield f"127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()
            server.wait()


def create(*tables):
    return [f"CREATE TABLE {table} {COLUMNS}" for table in tables]


def machine():
    """The processor, memory and versions that figures belong to, in one line."""
    cpu = memory = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemTotal"):
            memory = f"{int(line.split()[1]) / 1024 / 1024:.0f} GiB"
    server = subprocess.run(
        [postgres.programs() / "postgres", "--version"], check=True, stdout=subprocess.PIPE, text=True
    )
    kernel = platform.release().partition("-")[0]
    return (
        f"{os.cpu_count()} x {cpu or platform.machine()}, {memory}, Linux {kernel}, "
        f"PostgreSQL {server.stdout.split()[2]}, SQLite {sqlite3.sqlite_version}"
    )
