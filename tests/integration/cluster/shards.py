"""The databases of a cluster, of any kind: made with the shop's tables, and each can be lost and come back."""

import contextlib
import os
import pathlib
import signal
import sqlite3

import gateway
import replicated
from servers import Server

EXAMPLE = gateway.REPO / "examples" / "quickstart"
DATABASE = "shop"


def chosen():
    """The kind and the number of shards that the environment asks for."""
    kind = os.environ.get("QUARRY_TEST_DATABASE", "replicated")
    count = os.environ.get("QUARRY_TEST_SHARDS", "2")
    if kind not in KINDS or not count.isdecimal() or int(count) < 2:
        raise SystemExit(f'QUARRY_TEST_DATABASE="{kind}" QUARRY_TEST_SHARDS="{count}": the first must be one of '
                         f"{', '.join(KINDS)}, the second a number from 2")
    return kind, int(count)


def schema(decimal):
    return (EXAMPLE / "schema.sql").read_text(encoding="utf-8").replace("DECIMAL_TEXT", decimal)


class SqliteShards(contextlib.ExitStack):
    """A file each."""

    def __init__(self, folder, count):
        super().__init__()
        self.files = [folder / "data" / f"s{i}.db" for i in range(count)]
        (folder / "data").mkdir()
        for file in self.files:
            with contextlib.closing(sqlite3.connect(file)) as database:
                database.executescript(schema("DECIMAL_TEXT"))

    def places(self):
        return [f"{{sqlite: {{file: {file.name}}}}}" for file in self.files]

    @contextlib.contextmanager
    def lost(self, shard):
        """Another program keeps the write lock: nothing can be written while the block runs, and all can be read."""
        with contextlib.closing(sqlite3.connect(self.files[shard], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.execute("ROLLBACK")


class PostgresShards(contextlib.ExitStack):
    """A server each, so that one can be lost alone."""

    def __init__(self, folder, count):
        super().__init__()
        self.servers = [Server(f"s{i}", folder / f"s{i}") for i in range(count)]
        for server in self.servers:
            server.make_folder()
        replicated.every([(server, server.initialise()) for server in self.servers], "initdb")
        for server in self.servers:
            self.callback(server.stop)
            server.start(replicated.LIGHT)
        for server in self.servers:
            server.wait_until_ready()
            create(server)

    def places(self):
        return [f'{{postgres: {{primary: "{server.conninfo(DATABASE)}"}}}}' for server in self.servers]

    @contextlib.contextmanager
    def lost(self, shard):
        """The server of a shard stands still as after a crash while the block runs."""
        server = self.servers[shard]
        server.stop(signal.SIGQUIT)
        try:
            yield
        finally:
            server.start()
            server.wait_until_ready()


class ReplicatedShards(PostgresShards):
    """A primary with a synchronous standby each."""

    def __init__(self, folder, count):
        contextlib.ExitStack.__init__(self)
        self.pairs = self.enter_context(replicated.Cluster(count, folder=folder / "servers")).pairs
        self.servers = [pair.primary for pair in self.pairs]
        for server in self.servers:
            create(server)

    def places(self):
        return [f'{{postgres: {{primary: "{pair.primary.conninfo(DATABASE)}", '
                f'replicas: ["{pair.standby.conninfo(DATABASE)}"]}}}}' for pair in self.pairs]


def create(server):
    server.sql(f"CREATE DATABASE {DATABASE}")
    server.sql(schema("NUMERIC"), DATABASE)


KINDS = {"sqlite": SqliteShards, "postgres": PostgresShards, "replicated": ReplicatedShards}


def config(shards):
    """The quickstart's configuration over these shards."""
    places = "".join(f"  s{i}: {place}\n" for i, place in enumerate(shards.places()))
    text = (EXAMPLE / "quarry.yaml").read_text(encoding="utf-8")
    rules = text[text.index("resolvers:"):]
    return f"deployment: cluster\nshards:\n{places}{rules}"
