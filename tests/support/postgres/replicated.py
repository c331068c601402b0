#!/usr/bin/env python3
"""Pairs of a PostgreSQL primary and a standby that follows it by streaming replication, each through a slot of its own.

    replicated.py --pairs 2 [--synchronous] [--database shop]… [--folder DIR] [--first-port N] [--json FILE]

Tells where they are as one line of JSON, on standard output or in FILE, when every standby streams; runs until SIGTERM or
SIGINT, then stops them all and removes the folder unless it was named. With --synchronous a primary acknowledges a commit
when its standby has it. As root the servers run as the user postgres or nobody. Only the standard library is used.

From Python: `with Cluster(pairs=2) as cluster: cluster.pairs[0].primary.conninfo("shop")`.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from servers import Server, ServerError, unprivileged

# For many servers at a time on a machine that does not fail.
LIGHT = ["fsync=off", "shared_buffers=16MB", "min_wal_size=32MB"]
SLOT = "standby"  # Also the standby's application_name, by which synchronous_standby_names knows it.


class Pair:
    """One primary and its standby."""

    def __init__(self, name, folder, synchronous, ports=(None, None)):
        self.name, self.synchronous = name, synchronous
        self.primary = Server(f"primary of {name}", folder / f"{name}-primary", ports[0])
        self.standby = Server(f"standby of {name}", folder / f"{name}-standby", ports[1])

    def start_primary(self):
        # A WAL that an absent standby still needs is kept by the slot, up to this size: no test fills the disk.
        self.primary.start([*LIGHT, "wal_level=replica", "max_slot_wal_keep_size=1GB"])

    def copy(self):
        """Begins the standby's base backup, which makes the slot and writes how to connect; for `finished`."""
        source = f"{self.primary.conninfo()} application_name={SLOT}"
        return self.standby.command("pg_basebackup", "-d", source, "-D", self.standby.data, "-R", "-X", "stream", "-C", "-S",
                                    SLOT, "-c", "fast", "--no-sync")

    def start_standby(self):
        self.standby.start([*LIGHT, "hot_standby_feedback=on"])

    def wait_until_streaming(self):
        self.standby.wait_until_ready()
        self.primary.wait_for(f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{SLOT}' "
                              "AND state = 'streaming'", "1")

    def wait_for_commits(self):
        """From here on commits wait for the standby, if they shall."""
        if not self.synchronous:
            return
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{SLOT}'")
        self.primary.sql("SELECT pg_reload_conf()")
        self.primary.wait_for("SELECT sync_state FROM pg_stat_replication", "sync")

    def promote(self):
        """The standby becomes a primary, which waits for no standby; stop the old one first."""
        if self.primary.running():
            raise ServerError(f"{self.name}: its primary still runs, and a second one would split the data: stop it first")
        self.standby.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.standby.sql("SELECT pg_promote()")
        self.standby.wait_for("SELECT pg_is_in_recovery()", "f")

    def describe(self):
        def one(server):
            return {"conninfo": server.conninfo(), "port": server.port, "pid": server.process.pid, "folder": str(server.folder)}
        return {"name": self.name, "primary": one(self.primary), "standby": one(self.standby), "slot": SLOT,
                "synchronous": self.synchronous}


class Cluster:
    """Several pairs s0, s1, …, for as long as a `with` block runs."""

    def __init__(self, pairs, synchronous=True, databases=(), folder=None, first_port=None):
        self.own_folder = folder is None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="quarry-replicated-") if folder is None else folder).absolute()
        self.databases = databases
        ports = [(first_port + 2 * i, first_port + 2 * i + 1) if first_port else (None, None) for i in range(pairs)]
        self.pairs = [Pair(f"s{i}", self.folder, synchronous, ports[i]) for i in range(pairs)]

    def servers(self):
        return [server for pair in self.pairs for server in (pair.primary, pair.standby)]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        self.make_folders()
        # Each step for all pairs at once; most of it is waiting.
        every([(pair.primary, pair.primary.initialise()) for pair in self.pairs], "initdb")
        for pair in self.pairs:
            pair.start_primary()
        for pair in self.pairs:
            pair.primary.wait_until_ready()
            for database in self.databases:
                pair.primary.sql(f'CREATE DATABASE "{database}"')
        every([(pair.standby, pair.copy()) for pair in self.pairs], "pg_basebackup")
        for pair in self.pairs:
            pair.start_standby()
        for pair in self.pairs:
            pair.wait_until_streaming()
            pair.wait_for_commits()

    def make_folders(self):
        if self.own_folder and unprivileged():
            self.folder.chmod(0o711)  # The servers' user passes through to its own.
        if not self.own_folder:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ServerError(f"cannot make the folder {self.folder}: {error.strerror}; name one that can be written") from error
        for server in self.servers():
            server.make_folder()

    def close(self):
        """Standbys first: a primary that stops waits until they have all of its log."""
        failures = []
        for servers in ([pair.standby for pair in self.pairs], [pair.primary for pair in self.pairs]):
            for server in servers:
                server.tell(signal.SIGINT)
            for server in servers:
                try:
                    server.stop()
                except ServerError as error:
                    failures.append(str(error))
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if failures:
            raise ServerError("\n".join(failures))

    def describe(self):
        return {"pairs": [pair.describe() for pair in self.pairs]}


def every(commands, doing):
    """Waits for all of them before it tells of one that failed: none is left running."""
    for _, command in commands:
        command.wait()
    for server, command in commands:
        server.finished(command, doing)


def write_whole(path, text):
    """Whoever waits for the file never sees half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, required=True, help="how many primaries, each with a standby")
    parser.add_argument("--synchronous", action="store_true", help="commits wait for the standby")
    parser.add_argument("--database", action="append", default=[], help="a database to create on every primary; may be repeated")
    parser.add_argument("--folder", help="where the servers live; kept afterwards (a temporary one that is removed)")
    parser.add_argument("--first-port", type=int, help="ports N, N+1, … (free ones)")
    parser.add_argument("--json", type=pathlib.Path, help="where to write what standard output else gets")
    chosen = parser.parse_args()
    if chosen.pairs < 1:
        parser.error("--pairs must be at least 1")
    return chosen


def main():
    chosen = arguments()
    stops = {signal.SIGTERM, signal.SIGINT}
    # A signal during the start ends it in order, through the exception.
    for number in stops:
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        with Cluster(chosen.pairs, chosen.synchronous, chosen.database, chosen.folder, chosen.first_port) as cluster:
            text = json.dumps(cluster.describe()) + "\n"
            if chosen.json:
                write_whole(chosen.json, text)
            else:
                print(text, end="", flush=True)
            signal.pthread_sigmask(signal.SIG_BLOCK, stops)
            signal.sigwait(stops)
    except ServerError as error:
        sys.exit(f"replicated.py: {error}")


if __name__ == "__main__":
    main()
