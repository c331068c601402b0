"""quarryd as a process over a whole cluster: the API from end to end, a shard that is lost and comes back, a gateway that
is killed at work, and standbys that are cut off."""

import contextlib
import itertools
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import unittest
import uuid

import grpc
from quarry.v1 import (admin_pb2, admin_pb2_grpc, data_pb2, data_pb2_grpc, lock_pb2, lock_pb2_grpc, mutation_pb2, query_pb2,
                       schema_pb2, schema_pb2_grpc, shard_pb2, shard_pb2_grpc, transaction_pb2, transaction_pb2_grpc)

import gateway
import shards
from python_client_test import FirstSteps, customer_record, error_info, key

KIND, COUNT = shards.chosen()
STOP_SECONDS = 60
NAMES = [f"s{i}" for i in range(COUNT)]
# What keeps the tests short: a lost shard is looked for often, and a dead gateway's transactions are ended soon.
SETTINGS = ("tokens.secret=of the cluster test", "breaker.probe_interval=50ms", "transactions.recovery_interval=200ms", "transactions.recovery_age=1s")


class Cluster:
    """The shards, and one quarryd over them."""

    def __init__(self, stack):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-cluster-")))
        self.folder.chmod(0o755)  # PostgreSQL runs as another user.
        self.shards = stack.enter_context(shards.KINDS[KIND](self.folder, COUNT))
        (self.folder / "quarry.yaml").write_text(shards.config(self.shards), encoding="utf-8")
        stack.callback(self.stop)
        self.ids = itertools.count(1)
        self.start()

    def start(self):
        ports_file = self.folder / "ports.json"
        ports_file.unlink(missing_ok=True)
        settings = [f"data_dir={self.folder / 'data'}", "listen.grpc=127.0.0.1:0", "listen.http=127.0.0.1:0", *SETTINGS]
        self.server = subprocess.Popen(
            [gateway.binary("QUARRYD"), "run", "--config", self.folder / "quarry.yaml", "--ports-file", ports_file,
             *(word for setting in settings for word in ("--set", setting))],
            env={name: value for name, value in os.environ.items() if not name.startswith("QUARRY_TEST_")},
            preexec_fn=gateway.die_with_parent)
        self.address = f"127.0.0.1:{gateway.wait_until_ready(self.server, ports_file)['grpc']}"
        self.channel = grpc.insecure_channel(self.address)
        self.data = data_pb2_grpc.DataServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)
        self.locks = lock_pb2_grpc.LockServiceStub(self.channel)
        self.schema = schema_pb2_grpc.SchemaServiceStub(self.channel)
        self.on_shards = shard_pb2_grpc.ShardServiceStub(self.channel)

    def end(self, number):
        self.channel.close()
        self.server.send_signal(number)
        return self.server.wait(timeout=STOP_SECONDS)

    def stop(self):
        if self.server.poll() is None and self.end(signal.SIGTERM) != 0:
            raise AssertionError(f"quarryd did not drain: {self.server.returncode}")

    def shard_of(self, number):
        request = schema_pb2.ResolveKeyRequest(table="customers", key=key(number))
        return self.schema.ResolveKey(request, timeout=20).shard

    def new_on(self, shard):
        """The id of a customer that is not there yet, and lives on the shard."""
        return next(number for number in self.ids if self.shard_of(number) == f"s{shard}")

    def ctl(self, *arguments):
        """(exit code, standard output, standard error) of quarryctl."""
        done = subprocess.run([gateway.binary("QUARRYCTL"), "--address", self.address, *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


def insertion(number, **more):
    return data_pb2.InsertRequest(table="customers", record=customer_record(number), request_id=str(uuid.uuid4()), **more)


def commit_of(*numbers):
    """One transaction that makes these customers."""
    mutations = [mutation_pb2.Mutation(insert=mutation_pb2.InsertMutation(table="customers", record=customer_record(number)))
                 for number in numbers]
    return transaction_pb2.CommitRequest(mutations=mutations, request_id=str(uuid.uuid4()))


def everywhere(sql):
    return shard_pb2.OnAllShardsRequest(sql=sql, target={"all_shards": True})


def succeeds(call):
    try:
        call()
    except grpc.RpcError:
        return False
    return True


CLEANUP = contextlib.ExitStack()


def setUpModule():
    global cluster
    unittest.addModuleCleanup(CLEANUP.close)
    cluster = Cluster(CLEANUP)
    os.environ["QUARRY_ADDRESS"] = cluster.address  # For ApiTest.


class ClusterTest(unittest.TestCase):
    def refused(self, call, request, timeout=20):
        """(code, ErrorInfo) of a call that must fail."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=timeout)
        return caught.exception.code(), error_info(caught.exception)

    def present(self, *numbers):
        reply = cluster.data.BatchGet(data_pb2.BatchGetRequest(table="customers", keys=[key(one) for one in numbers]), timeout=20)
        return len(reply.found)

    def wait_until_whole(self):
        """All shards are served again, also by the check of an operator."""
        gateway.wait_until("quarryctl health says that all is well", lambda: cluster.ctl("health")[0] == 0)


class ApiTest(FirstSteps):
    """The whole tour of the Python client: rows, composite keys, batches, queries in order, pages, aggregates, raw SQL."""


class WholeTest(ClusterTest):
    def test_every_shard_is_asked_and_answers(self):
        events = list(cluster.on_shards.OnAllShards(everywhere("SELECT count(*) FROM customers"), timeout=20))
        self.assertEqual(sorted(event.rows.shard for event in events if event.HasField("rows")), sorted(NAMES))
        one = shard_pb2.OnShardRequest(sql="SELECT 42", target={"shard": NAMES[-1]})
        rows = [row for event in cluster.on_shards.OnShard(one, timeout=20) for row in event.rows.rows]
        self.assertEqual([row.values[0].int64_value for row in rows], [42])
        code, output, _ = cluster.ctl("shards", "list")
        self.assertEqual((code, output.count(" up ")), (0, COUNT), output)

    def test_a_commit_over_all_shards_is_whole_and_a_repeat_is_the_first_one(self):
        numbers = [cluster.new_on(shard) for shard in range(COUNT)]
        commit = commit_of(*numbers)
        self.assertFalse(cluster.transactions.Commit(commit, timeout=20).replayed)
        self.assertTrue(cluster.transactions.Commit(commit, timeout=20).replayed)
        self.assertEqual(self.present(*numbers), COUNT)
        again = commit_of(*[cluster.new_on(shard) for shard in range(1, COUNT)], numbers[0])
        self.assertEqual(self.refused(cluster.transactions.Commit, again)[1].reason, "UNIQUE_VIOLATION")
        self.assertEqual(self.present(*[row.insert.record.columns["customer_id"].int64_value for row in again.mutations]), 1)

    def test_a_snapshot_sees_one_cut_over_all_shards(self):
        numbers = [cluster.new_on(shard) for shard in range(COUNT)]
        begun = cluster.transactions.Begin(transaction_pb2.BeginRequest(read_only=True, snapshot=True), timeout=20)
        read = data_pb2.BatchGetRequest(table="customers", keys=[key(one) for one in numbers], transaction_id=begun.transaction_id)
        self.assertEqual(len(cluster.data.BatchGet(read, timeout=20).found), 0)
        cluster.transactions.Commit(commit_of(*numbers), timeout=20)
        self.assertEqual(len(cluster.data.BatchGet(read, timeout=20).found), 0)
        cluster.transactions.Rollback(transaction_pb2.RollbackRequest(transaction_id=begun.transaction_id), timeout=20)
        now = data_pb2.BatchGetRequest(table="customers", keys=[key(one) for one in numbers], read_options={"snapshot": True})
        self.assertEqual(len(cluster.data.BatchGet(now, timeout=20).found), COUNT)

    def test_a_lock_has_one_holder_and_its_fence_guards_every_shard(self):
        acquire = lock_pb2.AcquireRequest(name="nightly", owner="one", ttl={"seconds": 60}, no_wait=True)
        first = cluster.locks.Acquire(acquire, timeout=20)
        self.assertEqual(self.refused(cluster.locks.Acquire, acquire)[1].reason, "LOCK_HELD")
        cluster.locks.Release(lock_pb2.ReleaseRequest(name="nightly", lease_id=first.lease_id), timeout=20)
        second = cluster.locks.Acquire(acquire, timeout=20)
        self.assertGreater(second.token, first.token)
        for shard in range(COUNT):
            cluster.data.Insert(insertion(cluster.new_on(shard), fence={"lock": "nightly", "token": second.token}), timeout=20)
            stale = insertion(cluster.new_on(shard), fence={"lock": "nightly", "token": first.token})
            self.assertEqual(self.refused(cluster.data.Insert, stale)[1].reason, "LOCK_LOST")


class LostShardTest(ClusterTest):
    def test_a_lost_shard_fails_its_own_calls_and_no_other_and_comes_back(self):
        lost, other = COUNT - 1, 0
        before = cluster.new_on(lost)
        cluster.data.Insert(insertion(before), timeout=20)
        waiting = insertion(cluster.new_on(lost))
        with cluster.shards.lost(lost):
            code, info = self.refused(cluster.data.Insert, waiting, timeout=3)
            # PostgreSQL's connection may break before or after the write was sent; SQLite's lock is somebody else's.
            self.assertIn(code.name, ("ABORTED",) if KIND == "sqlite" else ("UNAVAILABLE", "UNKNOWN"), info)
            self.assertEqual(info.metadata["shard"], f"s{lost}", info)
            cluster.data.Insert(insertion(cluster.new_on(other)), timeout=20)
            self.check_reads(lost, before)
        self.wait_until_whole()
        self.assertTrue(succeeds(lambda: cluster.data.Insert(waiting, timeout=20)), "the same request passes now")
        self.assertEqual(self.present(before, waiting.record.columns["customer_id"].int64_value), 2)

    def check_reads(self, lost, before):
        count = query_pb2.AggregateRequest(table="customers", aggregates=[{"function": query_pb2.AGGREGATE_FUNCTION_COUNT}])
        if KIND == "sqlite":  # Only writes are locked out.
            self.assertEqual(self.present(before), 1)
            cluster.data.Aggregate(count, timeout=20)
            return
        code, info = self.refused(cluster.data.Aggregate, count)
        self.assertEqual((code, info.metadata["shard"]), (grpc.StatusCode.UNAVAILABLE, f"s{lost}"))
        count.allow_partial = True
        partial = cluster.data.Aggregate(count, timeout=20)
        self.assertEqual([failed.shard for failed in partial.failed_shards], [f"s{lost}"])
        gateway.wait_until("quarryctl shards list shows the lost shard, and no other", lambda: list(self.down()) == [f"s{lost}"])
        self.assertTrue(self.down()[f"s{lost}"]["last_error"]["message"])
        self.assertEqual(cluster.ctl("health")[0], 12)


    @staticmethod
    def down():
        """The primaries that quarryctl shards list does not call up, by shard."""
        listed = json.loads(cluster.ctl("-o", "json", "shards", "list")[1])["shards"]
        return {shard["name"]: shard["servers"][0] for shard in listed if shard["state"] != "SERVER_STATE_UP"}


class KilledGatewayTest(ClusterTest):
    WRITERS = 4
    ROUNDS = 3

    def test_transactions_of_a_killed_gateway_are_whole_and_their_repeat_happens_once(self):
        for _ in range(self.ROUNDS):
            sent = [commit_of(cluster.new_on(i % COUNT), cluster.new_on((i + 1) % COUNT)) for i in range(200)]
            acknowledged = self.commit_until_killed(sent)
            cluster.start()
            self.wait_until_whole()
            gateway.wait_until("recovery has ended every transaction", self.none_in_doubt)
            for commit in sent:
                numbers = [one.insert.record.columns["customer_id"].int64_value for one in commit.mutations]
                self.assertIn(self.present(*numbers), (2,) if commit.request_id in acknowledged else (0, 2))
                cluster.transactions.Commit(commit, timeout=20)
                self.assertEqual(self.present(*numbers), 2)

    def commit_until_killed(self, sent):
        """Several clients send them, and the gateway dies on the way; the ids of those that it acknowledged."""
        queue, acknowledged = iter(sent), set()
        lock = threading.Lock()

        def write():
            while True:
                with lock:
                    commit = next(queue, None)
                if commit is None or not succeeds(lambda: cluster.transactions.Commit(commit, timeout=20)):
                    return
                acknowledged.add(commit.request_id)

        writers = [threading.Thread(target=write) for _ in range(self.WRITERS)]
        for writer in writers:
            writer.start()
        gateway.wait_until("ten transactions are acknowledged", lambda: len(acknowledged) >= 10)
        cluster.server.kill()
        for writer in writers:
            writer.join()
        self.assertEqual(cluster.end(signal.SIGKILL), -signal.SIGKILL)
        self.assertLess(len(acknowledged), len(sent), "it was killed after its work was done")
        return acknowledged

    def none_in_doubt(self):
        listed = cluster.admin.ListInDoubtTransactions(admin_pb2.ListInDoubtTransactionsRequest(min_age={}), timeout=20)
        return not listed.transactions and not listed.failed_shards


@unittest.skipUnless(KIND == "replicated", "shards without standbys")
class StandbyTest(ClusterTest):
    def test_a_write_is_not_acknowledged_while_the_standby_is_cut_off(self):
        pair = cluster.shards.pairs[0]
        insert = insertion(cluster.new_on(0))
        pair.standby.stop()
        self.addCleanup(lambda: pair.standby.running() or pair.standby.start())
        code, info = self.refused(cluster.data.Insert, insert, timeout=2)
        # The gateway says so before the caller's own clock does, unless the machine is held up just then.
        self.assertIn((code, info.reason), ((grpc.StatusCode.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN"),
                                            (grpc.StatusCode.DEADLINE_EXCEEDED, "")))
        cluster.data.Insert(insertion(cluster.new_on(1)), timeout=20)  # The others do not wait.
        pair.standby.start()
        pair.wait_until_streaming()
        gateway.wait_until("the same request is acknowledged", lambda: succeeds(lambda: cluster.data.Insert(insert, timeout=20)))
        number = insert.record.columns["customer_id"].int64_value
        self.assertEqual(pair.primary.sql(f"SELECT count(*) FROM customers WHERE customer_id = {number}", shards.DATABASE), "1")
        pair.standby.wait_for(f"SELECT count(*) FROM customers WHERE customer_id = {number}", "1", shards.DATABASE)
        self.wait_until_whole()

    def test_commits_that_would_not_wait_for_the_standby_are_refused_over_several_shards(self):
        pair = cluster.shards.pairs[0]
        pair.primary.sql("ALTER SYSTEM SET synchronous_standby_names = ''")
        pair.primary.sql("SELECT pg_reload_conf()")
        self.addCleanup(pair.wait_for_commits)
        pair.primary.wait_for("SHOW synchronous_standby_names", "")
        self.assertEqual(cluster.end(signal.SIGTERM), 0)
        cluster.start()  # What a gateway has found of a server stands until something fails.
        commit = commit_of(cluster.new_on(0), cluster.new_on(1))
        code, info = self.refused(cluster.transactions.Commit, commit)
        self.assertEqual((code, info.reason, info.metadata["shard"], info.metadata["setting"]),
                         (grpc.StatusCode.FAILED_PRECONDITION, "TWO_PHASE_UNAVAILABLE", "s0", "synchronous_standby_names"))
        code, _, error = cluster.ctl("init-shard", "s0")
        self.assertEqual(code, 5, error)
        self.assertIn("set synchronous_standby_names", error)
        pair.wait_for_commits()
        cluster.transactions.Commit(commit, timeout=20)


def load_tests(loader, _, __):
    """What ends the gateway comes last: ApiTest has the address of the first one."""
    order = (ApiTest, WholeTest, LostShardTest, StandbyTest, KilledGatewayTest)
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in order)


if __name__ == "__main__":
    print(f"{KIND}, {COUNT} shards", flush=True)
    unittest.main(verbosity=2)
