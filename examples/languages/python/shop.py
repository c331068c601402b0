"""Ten steps through the sample shop."""

import os
import random
from datetime import datetime, timezone
from decimal import Decimal

import grpc
from client import Client, error_info, new_id, record
from grpc_status import rpc_status
from quarry.v1 import admin_pb2, query_pb2
from quarry.v1.data_pb2 import BatchWriteRequest, GetRequest, InsertRequest, UpdateRequest
from quarry.v1.mutation_pb2 import InsertMutation, Mutation
from quarry.v1.value_pb2 import Key

CUSTOMER = random.randrange(10**6, 10**15)  # A new one in every run.
NOW = datetime.now(timezone.utc)


def key(number):
    return Key(columns=record(customer_id=CUSTOMER, order_id=number).columns)


def order(number, total):
    return record(customer_id=CUSTOMER, order_id=number, total=Decimal(total), placed=NOW)


def pay(transaction, run):
    """Pays order 1 if it still is as it was read, and cancels order 2: both or neither."""
    seen = quarry.data.Get(GetRequest(table="orders", key=key(1)))
    if run == 1:  # Another writer, just in time to be in the way.
        change = record(total=Decimal("24.90"))
        quarry.data.Update(UpdateRequest(table="orders", key=key(1), record=change, request_id=new_id()))
    paid = UpdateRequest(table="orders", key=key(1), record=record(status="paid"), transaction_id=transaction)
    paid.precondition.etag = seen.etag
    quarry.data.Update(paid)
    cancelled = record(status="cancelled")
    quarry.data.Update(UpdateRequest(table="orders", key=key(2), record=cancelled, transaction_id=transaction))


quarry = Client(os.environ.get("QUARRY_ADDRESS", "localhost:7400"))
shards = quarry.admin.ListShards(admin_pb2.ListShardsRequest(), timeout=5).shards
up = sum(shard.state == admin_pb2.SERVER_STATE_UP for shard in shards)
print(f"1 connect: {up} of {len(shards)} shards are up")

ada = record(customer_id=CUSTOMER, name="Ada", email="ada@example.com", country="GB", created=NOW)
customer = quarry.data.Insert(InsertRequest(table="customers", record=ada, request_id=new_id()))
first = quarry.data.Insert(InsertRequest(table="orders", record=order(1, "19.90"), request_id=new_id()))
together = customer.served_by.shards_answered == first.served_by.shards_answered
print(f"2 insert: a customer and an order, on one shard: {str(together).lower()}")

row = quarry.data.Get(GetRequest(table="orders", key=key(1))).record.columns
print(f"3 get: order 1 is {row['status'].text_value}, total {row['total'].decimal_value}")

inserts = [Mutation(insert=InsertMutation(table="orders", record=order(n, "10.00"))) for n in range(1, 7)]
results = quarry.data.BatchWrite(BatchWriteRequest(mutations=inserts, request_id=new_id())).results
refused = [error_info(result.error).reason for result in results if result.HasField("error")]
print(f"4 batch: {len(results) - len(refused)} orders written, {len(refused)} refused: {', '.join(refused)}")

request = query_pb2.ListRequest(table="orders", filter="customer_id = @customer AND total < @limit", page_size=2,
                                params=record(customer=CUSTOMER, limit=Decimal("15.00")).columns)
pages = [quarry.data.List(request)]
while pages[-1].next_page_token:
    request.page_token = pages[-1].next_page_token
    pages.append(quarry.data.List(request))
print(f"5 pages: {' + '.join(str(len(page.rows)) for page in pages)} orders below 15.00")

terms = [query_pb2.AggregateTerm(function=query_pb2.AGGREGATE_FUNCTION_COUNT),
         query_pb2.AggregateTerm(function=query_pb2.AGGREGATE_FUNCTION_SUM, column="total")]
request = query_pb2.AggregateRequest(table="orders", filter="customer_id = @customer", aggregates=terms,
                                     params=record(customer=CUSTOMER).columns)
count, total = quarry.data.Aggregate(request).rows[0].values
print(f"6 aggregate: {count.int64_value} orders, {total.decimal_value} in total")

runs = quarry.run_transaction(pay)
print(f"7 transaction: committed in run {runs}, after ABORTED")

request = InsertRequest(table="orders", record=order(7, "5.00"), request_id=new_id())
quarry.data.Insert(request)
again = quarry.data.Insert(request)  # As after an answer that was lost.
print(f"8 exactly once: sent twice, the second answer is a replay: {str(again.replayed).lower()}")

try:
    quarry.data.Insert(InsertRequest(table="orders", record=order(7, "5.00"), request_id=new_id()))
except grpc.RpcError as error:
    info = error_info(rpc_status.from_call(error))
    print(f"9 error: {info.reason} of {info.metadata['constraint']}")

items = list(quarry.rows(query_pb2.QueryRequest(table="order_items", filter="customer_id <= 200")))
print(f"10 stream: {len(items)} items, {len({item.SerializeToString() for item in items})} different")
