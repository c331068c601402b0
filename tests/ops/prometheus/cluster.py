"""A real cluster to watch: three PostgreSQL shards on two servers, two gateways that know each other, and traffic."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid

from prometheus import gateway, postgres

KEYS = 2000
LOAD = ["get:50", "update:20", "upsert:10", "insert:4", "delete:4", "batch_get:4", "batch_write:2", "list:4", "query:4",
        "aggregate:2", "begin_snapshot:2", "sql_scan:1"]
CONFIG = """
deployment: shop
data_dir: {folder}/data
peers: {{addresses: [{peers}], interval: 1s}}
pools: {{sessions: 8, waiters: 8}}
cache: {{bytes: 64KiB}}
transactions: {{audit_interval: 5s}}
tokens: {{secret: "a secret of the tests"}}
shards:
  s0: {{postgres: {{primary: "host=127.0.0.1 port={ports[0]} user=quarry dbname=s0"}}}}
  s1: {{postgres: {{primary: "host=127.0.0.1 port={ports[0]} user=quarry dbname=s1"}}}}
  s2: {{postgres: {{primary: "host=127.0.0.1 port={ports[1]} user=quarry dbname=s2"}}}}
resolvers:
  by_id: {{type: consistent_hash}}
  by_name: {{type: lookup, entries: [{{key: first, shard: s0}}], directory: {{shard: s0}}}}
tables:
  usertable: {{kind: sharded, key: id, resolver: by_id, merge_reads: true}}
  tags: {{kind: sharded, key: name, resolver: by_name, cache_max_age: 5s}}
"""
TAGS = "CREATE TABLE tags (name text PRIMARY KEY, note text);"


class PostgresServer:
    """One server that can be stopped and started again; its databases have no passwords."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, postgres.free_port(), None
        folder.mkdir()
        if postgres.unprivileged():
            shutil.chown(folder, *(postgres.unprivileged()[key] for key in ("user", "group")))
        self._run("initdb", "-D", folder / "data", "-U", "quarry", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    def _run(self, name, *arguments, **options):
        return subprocess.run([postgres.programs() / name, *arguments], check=True, capture_output=True, cwd=self.folder,
                              text=True, **postgres.unprivileged(), **options)

    def start(self):
        settings = ["max_connections=150", "max_prepared_transactions=50", "fsync=off", "shared_buffers=32MB"]
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [postgres.programs() / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-h", "127.0.0.1", "-k",
                 self.folder, *(word for setting in settings for word in ("-c", setting))],
                stdout=log, stderr=log, cwd=self.folder, preexec_fn=gateway.die_with_parent, **postgres.unprivileged())
        ready = [postgres.programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        gateway.wait_until("PostgreSQL starts", lambda: subprocess.run(ready, check=False).returncode == 0, 60)

    def stop(self):
        """At once, as a power cut does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=60)

    def create(self, database, sql):
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "quarry"]
        self._run("createdb", *where, database)
        self._run("psql", *where, "-q", "-v", "ON_ERROR_STOP=1", "-d", database, input=sql)


class Gateway:
    """quarryd on ports of its own, which it keeps over restarts."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        self.grpc, self.http = (f"127.0.0.1:{postgres.free_port()}" for _ in range(2))
        folder.mkdir()

    def start(self):
        ports = self.folder / "ports.json"
        ports.unlink(missing_ok=True)
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [gateway.binary("QUARRYD"), "run", "--config", str(self.folder / "quarry.yaml"), "--set", f"listen.grpc={self.grpc}",
                 "--set", f"listen.http={self.http}", "--ports-file", str(ports)],
                stdout=log, stderr=log, preexec_fn=gateway.die_with_parent)
        gateway.wait_until_ready(self.process, ports)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """It drains, and had not ended before."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=40) != 0:
            sys.exit(f"quarryd ended with {self.process.returncode}:\n{(self.folder / 'log').read_text(encoding='utf-8')[-4000:]}")

    def call(self, method, timeout="5s", headers=(), **request):
        """A unary call as JSON; the reply, or the error's body."""
        asked = urllib.request.Request(f"http://{self.http}/quarry.v1.{method}", data=json.dumps(request).encode(),
                                       headers={"content-type": "application/json", "x-timeout": timeout, **dict(headers)})
        try:
            with urllib.request.urlopen(asked, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def metrics(self):
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as reply:
            return reply.read().decode()


class Cluster:
    def __init__(self, servers, gateways):
        self.servers, self.gateways = servers, gateways

    def targets(self):
        return [one.http for one in self.gateways]


@contextlib.contextmanager
def cluster(folder):
    """s0 and s1 are on the first server, s2 is on the second; each gateway is the other's peer."""
    schema = subprocess.run([gateway.binary("LOAD_PROGRAM"), "schema", "--dialect", "postgres"], check=True, capture_output=True,
                            text=True).stdout + TAGS
    with contextlib.ExitStack() as stack:
        servers = []
        for name, databases in (("first", ["s0", "s1"]), ("second", ["s2"])):
            server = PostgresServer(folder / name)
            stack.callback(server.stop)
            server.start()
            servers.append(server)
            for database in databases:
                server.create(database, schema)
        config = CONFIG.replace("{ports[0]}", str(servers[0].port)).replace("{ports[1]}", str(servers[1].port))
        both = [Gateway(folder / f"gateway{number}") for number in range(2)]
        for own in both:
            (own.folder / "quarry.yaml").write_text(config.format(folder=own.folder, peers=", ".join(one.grpc for one in both)))
            own.start()
            stack.callback(own.stop)
        yield Cluster(servers, both)


def quarry_load(command, target, *options):
    """Starts it in the background; its report goes nowhere."""
    return subprocess.Popen([gateway.binary("LOAD_PROGRAM"), command, target.grpc, "--keys", str(KEYS), *options],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=gateway.die_with_parent)


def quarryctl(target, *words, stdout=subprocess.DEVNULL, **options):
    return subprocess.Popen([gateway.binary("QUARRYCTL"), "--address", target.grpc, *words], stdout=stdout,
                            stderr=subprocess.DEVNULL, preexec_fn=gateway.die_with_parent, **options)


def key(number):
    return {"values": [{"int64Value": str(number)}]}


def name(text):
    return {"values": [{"textValue": text}]}


def balance(number):
    return {"columns": {"balance": {"int64Value": str(number)}}}


class Traffic:
    """While its block runs: a mix of calls on both gateways, and what the mix lacks, as JSON, a round every 50 ms."""

    def __init__(self, target_cluster, rate=120, seconds=600, commits=6):
        self.here, self.there = target_cluster.gateways
        if quarry_load("load", self.here).wait(timeout=60) != 0:
            sys.exit("quarry-load could not write its rows")
        self.here.call("DataService/Upsert", table="tags", record={"columns": {"name": {"textValue": "first"}, "note": {"textValue": "kept"}}})
        mix = [word for one in [*LOAD, f"commit_across:{commits}"] for word in ("--op", one)]
        self.loads = [quarry_load("run", one, *mix, "--rate", str(rate), "--duration", f"{seconds}s", "--max-error-rate", "1", "--batch", "10",
                                  "--query-rows", "20", "--request-ids", "true", "--deadline", "5s", "--arrivals", "poisson",
                                  "--in-flight-max", "200", "--insert-from", str(10_000_000 * (at + 1)), "--delete-from", str(KEYS - 500 * at),
                                  "--sql", "SELECT count(*) FROM usertable") for at, one in enumerate(self.gateways)]
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._rounds, daemon=True)

    @property
    def gateways(self):
        return [self.here, self.there]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        for load in self.loads:
            load.terminate()
            load.wait(timeout=30)

    def _rounds(self):
        number = 0
        while not self.ending.wait(0.05):
            number += 1
            with contextlib.suppress(OSError):
                self._transaction(number)
                self._reads(number)
                self._mistakes(number)
                self._lock(number)

    def _transaction(self, number):
        """Begun at one gateway, written through the other."""
        begun = self.here.call("TransactionService/Begin").get("transactionId", "")
        try:
            for step in range(2):
                self.there.call("DataService/Update", table="usertable", key=key(number * 7 % 1000 + 400 * step + 1),
                                record=balance(number), transactionId=begun)
            self.there.call("TransactionService/Rollback" if number % 10 == 0 else "TransactionService/Commit", transactionId=begun)
        except OSError:  # The other gateway is gone.
            self.here.call("TransactionService/Rollback", transactionId=begun)

    def _reads(self, number):
        for _ in range(5):
            self.here.call("DataService/Get", table="tags", key=name("first"), readOptions={"maxStaleness": "2s"})
        self.here.call("DataService/Get", table="tags", key=name(f"unknown {number % 5}"))

    def _mistakes(self, number):
        self.here.call("DataService/Get", table="usertable", key=key(-number))
        self.here.call("DataService/Update", table="usertable", key=key(1), record=balance(1), precondition={"etag": "0" * 32})
        if number % 4 == 0:
            self.here.call("DataService/List", table="usertable", filter="nothing = 1")
            self.here.call("DataService/Aggregate", timeout="1ms", table="usertable",
                           aggregates=[{"function": "AGGREGATE_FUNCTION_COUNT", "name": "n"}])

    def _lock(self, number):
        taken = self.here.call("LockService/Acquire", name=f"job {number % 3}", ttl="400ms" if number % 5 == 0 else "5s", owner="traffic")
        self.here.call("LockService/GetLock", name=f"job {number % 3}")
        if number % 5 and "leaseId" in taken:
            self.here.call("LockService/Release", name=f"job {number % 3}", leaseId=taken["leaseId"])


def lose_a_lock(target):
    """Holders that stand still for longer than their lease, until one of them asked too late for more time.

    One whose last answer was still on its way when it was stopped sees by itself that it has lost, and asks nothing.
    """
    for _ in range(10):
        _stand_still(target, f"stalled {uuid.uuid4()}")
        if "quarry_locks_lost_total 0\n" not in target.metrics():
            return
    sys.exit("ten holders stood still, and no renewal was refused")


# A job that says when it runs, and takes a second to end when it is told to: for so long its holder goes on, and asks for more time.
SLOW_TO_END = ("sh", "-c", "trap 'sleep 1; exit 1' TERM; echo runs; sleep 60 & wait")


def _stand_still(target, lock_name):
    holder = quarryctl(target, "lock", "run", lock_name, "--ttl", "3s", "--", *SLOW_TO_END, start_new_session=True,
                       stdout=subprocess.PIPE)
    try:
        if holder.stdout.readline() != b"runs\n":
            sys.exit(f"lock run ended with {holder.wait()} before its job began")
        os.kill(holder.pid, signal.SIGSTOP)
        gateway.wait_until("its lease is over", lambda: not target.call("LockService/GetLock", name=lock_name).get("held"))
        os.kill(holder.pid, signal.SIGCONT)
        holder.wait(timeout=30)  # It ends when it knows that it has lost.
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def crowd(target, shard, statements=40, seconds=2):
    """More statements at a time than the shard's pool and its queue take: some wait, some are refused."""
    return [quarryctl(target, "sql", "--shard", shard, f"SELECT pg_sleep({seconds})") for _ in range(statements)]
