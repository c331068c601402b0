"""Quarry from Python, with the stock gRPC generator.

examples/quickstart/python.sh generates the client and runs this against QUARRY_ADDRESS.
"""

import os
import time
import uuid

import grpc

from quarry.v1 import data_pb2, data_pb2_grpc, value_pb2

channel = grpc.insecure_channel(os.environ.get("QUARRY_ADDRESS", "127.0.0.1:7400"))
data = data_pb2_grpc.DataServiceStub(channel)


def text(value):
    return value_pb2.Value(text_value=value)


def integer(value):
    return value_pb2.Value(int64_value=value)


def now():
    value = value_pb2.Value()
    value.timestamp_value.FromMicroseconds(time.time_ns() // 1000)
    return value


# The request_id makes the write safe to send again: a repeat returns the first reply.
written = data.Upsert(
    data_pb2.UpsertRequest(
        table="customers",
        record=value_pb2.Record(
            columns={
                "customer_id": integer(900001),
                "name": text("Ada"),
                "email": text("ada@example.com"),
                "country": text("GB"),
                "created": now(),
            }
        ),
        request_id=str(uuid.uuid4()),
    ),
    timeout=10,
)
print("written to shard", written.served_by.shards_answered[0])

row = data.Get(
    data_pb2.GetRequest(table="customers", key=value_pb2.Key(values=[integer(900001)])), timeout=10
)
print("name:", row.record.columns["name"].text_value, "etag:", row.etag)
