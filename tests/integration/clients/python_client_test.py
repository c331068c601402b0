"""First steps through a running gateway with the stock Python client: what a first program does, and its errors."""

import os
import time
import unittest
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from quarry.v1 import (admin_pb2, admin_pb2_grpc, data_pb2, data_pb2_grpc, mutation_pb2, query_pb2, schema_pb2,
                       schema_pb2_grpc, shard_pb2, shard_pb2_grpc, transaction_pb2, transaction_pb2_grpc, value_pb2)

TIMEOUT = 20
BIG = 2**63 - 1
CREATED_MICROS = 1_769_903_999_123_456


def value(python):
    if isinstance(python, int):
        return value_pb2.Value(int64_value=python)
    return value_pb2.Value(text_value=python)


def record(**columns):
    return value_pb2.Record(columns={name: value(one) for name, one in columns.items()})


def customer_record(number, **columns):
    """A whole customer; the table takes no nulls and has no defaults."""
    whole = {"customer_id": number, "name": "Ada", "email": "ada@example.com", "country": "GB", **columns}
    result = record(**whole)
    result.columns["created"].timestamp_value.FromMicroseconds(CREATED_MICROS)
    return result


def order_record(customer, number, total="19.90"):
    result = record(customer_id=customer, order_id=number, status="open")
    result.columns["total"].decimal_value = total
    result.columns["placed"].timestamp_value.FromMicroseconds(CREATED_MICROS)
    return result


def key(*values):
    return value_pb2.Key(values=[value(one) for one in values])


def error_info(error):
    """The google.rpc.ErrorInfo of a failed call."""
    for name, data in error.trailing_metadata():
        if name == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(data).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info
    return error_details_pb2.ErrorInfo()


class FirstSteps(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        channel = grpc.insecure_channel(os.environ["QUARRY_ADDRESS"])
        cls.addClassCleanup(channel.close)
        cls.data = data_pb2_grpc.DataServiceStub(channel)
        cls.schema = schema_pb2_grpc.SchemaServiceStub(channel)
        cls.shards = shard_pb2_grpc.ShardServiceStub(channel)
        cls.transactions = transaction_pb2_grpc.TransactionServiceStub(channel)
        cls.admin = admin_pb2_grpc.AdminServiceStub(channel)
        cls.health = health_pb2_grpc.HealthStub(channel)

    def refused(self, code, reason, call, request):
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=TIMEOUT)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        self.assertEqual(error_info(caught.exception).reason, reason)
        self.assertEqual(error_info(caught.exception).domain, "quarry")
        return caught.exception

    def customer(self, number, **columns):
        return data_pb2.UpsertRequest(table="customers", record=customer_record(number, **columns),
                                      returning=["*"], request_id=str(uuid.uuid4()))

    def test_01_the_gateway_and_its_shards_serve(self):
        reply = self.health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        self.assertEqual(reply.status, health_pb2.HealthCheckResponse.SERVING)
        # Ready is a gateway with one shard; the others follow.
        deadline = time.monotonic() + TIMEOUT
        while True:
            shards = self.admin.ListShards(admin_pb2.ListShardsRequest(), timeout=TIMEOUT).shards
            if all(shard.state == admin_pb2.SERVER_STATE_UP for shard in shards) or time.monotonic() > deadline:
                break
        self.assertGreaterEqual(len(shards), 2)
        self.assertTrue(all(shard.state == admin_pb2.SERVER_STATE_UP for shard in shards))

    def test_02_tables_tell_their_types_and_keys(self):
        names = [table.name for table in self.schema.ListTables(schema_pb2.ListTablesRequest(), timeout=TIMEOUT).tables]
        self.assertEqual(names, sorted(names))
        self.assertLessEqual({"customers", "orders", "products", "settings"}, set(names))
        table = self.schema.GetTable(schema_pb2.GetTableRequest(table="orders"), timeout=TIMEOUT).table
        self.assertEqual(list(table.primary_key), ["customer_id", "order_id"])
        self.assertIn("customers", table.colocated_with)
        self.refused(grpc.StatusCode.NOT_FOUND, "TABLE_NOT_FOUND", self.schema.GetTable,
                     schema_pb2.GetTableRequest(table="orderz"))

    def test_03_a_row_is_read_as_it_was_written(self):
        written = self.data.Upsert(self.customer(BIG, name="Zo\u00eb \U0001f600"), timeout=TIMEOUT)
        row = self.data.Get(data_pb2.GetRequest(table="customers", key=key(BIG)), timeout=TIMEOUT)
        self.assertEqual(row.record.columns["customer_id"].int64_value, BIG)
        self.assertEqual(row.record.columns["name"].text_value, "Zo\u00eb \U0001f600")
        self.assertEqual(row.record.columns["created"].timestamp_value.ToMicroseconds(), CREATED_MICROS)
        self.assertEqual(row.etag, written.etag)
        where = self.schema.ResolveKey(schema_pb2.ResolveKeyRequest(table="customers", key=key(BIG)), timeout=TIMEOUT)
        self.assertEqual(list(row.served_by.shards_answered), [where.shard])

    def test_04_an_update_changes_just_its_columns_and_checks_the_etag(self):
        first = self.data.Upsert(self.customer(910004, country="FR"), timeout=TIMEOUT)
        change = data_pb2.UpdateRequest(table="customers", key=key(910004), record=record(country="DE"),
                                        returning=["*"])
        change.precondition.etag = first.etag
        changed = self.data.Update(change, timeout=TIMEOUT)
        self.assertEqual(changed.record.columns["name"].text_value, "Ada")
        self.assertEqual(changed.record.columns["country"].text_value, "DE")
        self.assertNotEqual(changed.etag, first.etag)
        self.refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH", self.data.Update, change)

    def test_05_a_repeated_request_id_returns_the_first_reply(self):
        number = 910005
        with_id = data_pb2.InsertRequest(table="customers", record=customer_record(number),
                                         request_id=str(uuid.uuid4()))
        self.assertFalse(self.data.Insert(with_id, timeout=TIMEOUT).replayed)
        self.assertTrue(self.data.Insert(with_id, timeout=TIMEOUT).replayed)
        other = data_pb2.InsertRequest(table="customers", record=customer_record(number, name="Eve"),
                                       request_id=with_id.request_id)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", self.data.Insert, other)
        other.request_id = str(uuid.uuid4())
        self.refused(grpc.StatusCode.ALREADY_EXISTS, "UNIQUE_VIOLATION", self.data.Insert, other)

    def test_06_many_keys_are_read_at_once(self):
        for number in (910061, 910062, 910063):
            self.data.Upsert(self.customer(number), timeout=TIMEOUT)
        reply = self.data.BatchGet(
            data_pb2.BatchGetRequest(table="customers", keys=[key(910061), key(910069), key(910063)]), timeout=TIMEOUT)
        self.assertEqual([row.index for row in reply.found], [0, 2])
        self.assertEqual(list(reply.missing), [1])

    def test_07_a_batch_reports_each_of_its_writes(self):
        good = mutation_pb2.Mutation()
        good.upsert.table = "customers"
        good.upsert.record.CopyFrom(customer_record(910007))
        bad = mutation_pb2.Mutation()
        bad.update.table = "customers"
        bad.update.key.CopyFrom(key(910079))
        bad.update.record.CopyFrom(record(name="Nobody"))
        reply = self.data.BatchWrite(
            data_pb2.BatchWriteRequest(mutations=[good, bad], request_id=str(uuid.uuid4())), timeout=TIMEOUT)
        self.assertEqual(reply.results[0].WhichOneof("outcome"), "applied")
        self.assertEqual(reply.results[1].error.code, grpc.StatusCode.NOT_FOUND.value[0])

    def test_08_a_transaction_sees_its_writes_and_rolls_back(self):
        self.data.Upsert(self.customer(910008), timeout=TIMEOUT)
        begun = self.transactions.Begin(transaction_pb2.BeginRequest(), timeout=TIMEOUT)
        order = data_pb2.InsertRequest(table="orders", record=order_record(910008, 1),
                                       transaction_id=begun.transaction_id)
        self.data.Insert(order, timeout=TIMEOUT)
        read = data_pb2.GetRequest(table="orders", key=key(910008, 1), transaction_id=begun.transaction_id)
        self.assertEqual(self.data.Get(read, timeout=TIMEOUT).record.columns["total"].decimal_value, "19.90")
        self.transactions.Rollback(
            transaction_pb2.RollbackRequest(transaction_id=begun.transaction_id), timeout=TIMEOUT)
        read.transaction_id = ""
        self.refused(grpc.StatusCode.NOT_FOUND, "ROW_NOT_FOUND", self.data.Get, read)

    def test_09_a_commit_of_mutations_is_all_or_nothing(self):
        self.data.Upsert(self.customer(910009), timeout=TIMEOUT)
        first = mutation_pb2.Mutation()
        first.insert.table = "orders"
        first.insert.record.CopyFrom(order_record(910009, 1))
        again = mutation_pb2.Mutation()
        again.CopyFrom(first)
        commit = transaction_pb2.CommitRequest(mutations=[first, again], request_id=str(uuid.uuid4()))
        self.refused(grpc.StatusCode.ALREADY_EXISTS, "UNIQUE_VIOLATION", self.transactions.Commit, commit)
        read = data_pb2.GetRequest(table="orders", key=key(910009, 1))
        self.refused(grpc.StatusCode.NOT_FOUND, "ROW_NOT_FOUND", self.data.Get, read)
        again.insert.record.columns["order_id"].int64_value = 2
        commit = transaction_pb2.CommitRequest(mutations=[first, again], request_id=str(uuid.uuid4()))
        self.assertEqual(len(self.transactions.Commit(commit, timeout=TIMEOUT).results), 2)
        self.data.Get(read, timeout=TIMEOUT)

    def test_10_sql_runs_on_all_shards_and_only_reads(self):
        request = shard_pb2.OnAllShardsRequest(sql="SELECT count(*) AS n FROM customers")
        request.target.all_shards = True
        counts = {}
        summary = None
        for event in self.shards.OnAllShards(request, timeout=TIMEOUT):
            kind = event.WhichOneof("event")
            if kind == "rows":
                counts[event.rows.shard] = event.rows.rows[0].values[0].int64_value
            elif kind == "summary":
                summary = event.summary
        self.assertEqual(sorted(counts), list(summary.served_by.shards_answered))
        self.assertGreater(sum(counts.values()), 0)
        request.sql = "DELETE FROM customers"
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, "READ_ONLY",
                     lambda message, timeout: list(self.shards.OnAllShards(message, timeout=timeout)), request)

    def countrymen(self, country, first, count):
        """So many customers of one country."""
        for number in range(first, first + count):
            self.data.Upsert(self.customer(number, country=country), timeout=TIMEOUT)

    def test_11_pages_of_a_filtered_list_follow_each_other(self):
        self.countrymen("P1", 911100, 5)
        request = query_pb2.ListRequest(table="customers", columns=["customer_id"], filter="country = @country",
                                        order_by=[query_pb2.OrderBy(column="customer_id")], page_size=2)
        request.params["country"].text_value = "P1"
        pages = []
        while not pages or request.page_token:
            page = self.data.List(request, timeout=TIMEOUT)
            pages.append([row.values[0].int64_value for row in page.rows])
            request.page_token = page.next_page_token
        self.assertEqual(pages, [[911100, 911101], [911102, 911103], [911104]])
        request.page_token = "made up"
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", self.data.List, request)

    def test_12_a_query_streams_its_rows_and_ends_with_a_summary(self):
        self.countrymen("P2", 911200, 5)
        request = query_pb2.QueryRequest(table="customers", columns=["customer_id", "country"],
                                         order_by=[query_pb2.OrderBy(column="customer_id", descending=True)])
        request.where.compare.column = "country"
        request.where.compare.op = query_pb2.COMPARE_OPERATOR_EQUAL
        request.where.compare.value.text_value = "P2"
        events = list(self.data.Query(request, timeout=TIMEOUT))
        self.assertEqual([column.name for column in events[0].header.columns], ["customer_id", "country"])
        rows = [row for event in events for row in event.batch.rows]
        self.assertEqual([row.values[0].int64_value for row in rows], [911204, 911203, 911202, 911201, 911200])
        self.assertEqual(events[-1].WhichOneof("event"), "summary")
        summary = events[-1].summary
        self.assertEqual(summary.rows, 5)
        self.assertEqual(sum(shard.rows for shard in summary.rows_by_shard), 5)
        self.assertEqual(list(summary.served_by.shards_asked), list(summary.served_by.shards_answered))
        request.columns.append("contry")
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD",
                     lambda message, timeout: list(self.data.Query(message, timeout=timeout)), request)

    def test_13_aggregates_are_exact_over_all_shards(self):
        self.countrymen("P3", 911300, 4)
        for number in range(911300, 911304):
            self.data.Upsert(data_pb2.UpsertRequest(table="orders", record=order_record(number, 1, "0.10")),
                             timeout=TIMEOUT)
        request = query_pb2.AggregateRequest(
            table="orders", filter="customer_id BETWEEN @low AND @high", group_by=["status"], having="n > 1",
            aggregates=[query_pb2.AggregateTerm(function=query_pb2.AGGREGATE_FUNCTION_COUNT, name="n"),
                        query_pb2.AggregateTerm(function=query_pb2.AGGREGATE_FUNCTION_SUM, column="total")])
        request.params["low"].int64_value = 911300
        request.params["high"].int64_value = 911303
        reply = self.data.Aggregate(request, timeout=TIMEOUT)
        self.assertEqual([column.name for column in reply.header.columns], ["status", "n", "sum_total"])
        self.assertEqual(len(reply.rows), 1)
        status, count, total = reply.rows[0].values
        self.assertEqual((status.text_value, count.int64_value, total.decimal_value), ("open", 4, "0.40"))
        self.assertEqual(len(reply.failed_shards), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
