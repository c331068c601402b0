"""What a program keeps around the generated stubs: connecting, values, errors, transactions and streams."""

import pathlib
import random
import time
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from quarry.v1 import admin_pb2_grpc, data_pb2_grpc, transaction_pb2_grpc
from quarry.v1.transaction_pb2 import BeginRequest, CommitRequest, RollbackRequest
from quarry.v1.value_pb2 import Record, Value

SERVICE_CONFIG = "proto/quarry/v1/service_config.json"  # From the root of the repository.
KINDS = {bool: "bool_value", int: "int64_value", float: "double_value", str: "text_value", bytes: "bytes_value",
         Decimal: "decimal_value", datetime: "timestamp_value", UUID: "uuid_value"}


def value(x):
    return Value(**{KINDS[type(x)]: str(x) if isinstance(x, (Decimal, UUID)) else x})


def record(**columns):
    return Record(columns={name: value(x) for name, x in columns.items()})


def new_id():
    return str(uuid4())


def error_info(status):
    """The ErrorInfo of a google.rpc.Status: its reason and facts."""
    info = ErrorInfo()
    any(detail.Unpack(info) for detail in status.details)
    return info


class Client:
    """The stubs of one channel, which retries and balances as the service config says."""

    def __init__(self, address):
        config = pathlib.Path(SERVICE_CONFIG).read_text(encoding="utf-8")
        self.channel = grpc.insecure_channel(address, [("grpc.service_config", config)])
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.data = data_pb2_grpc.DataServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)

    def run_transaction(self, body, runs_max=10):
        """Runs body(transaction id, run) and commits; all of it again after ABORTED. Returns how often it ran."""
        for run in range(1, runs_max + 1):
            try:
                self._run_once(body, run)
                return run
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.ABORTED or run == runs_max:
                    raise
            time.sleep(random.uniform(0, min(1, 0.02 * 2**run)))

    def _run_once(self, body, run):
        transaction = self.transactions.Begin(BeginRequest()).transaction_id
        try:
            body(transaction, run)
        except BaseException:
            self.transactions.Rollback(RollbackRequest(transaction_id=transaction))
            raise
        self.transactions.Commit(CommitRequest(transaction_id=transaction, request_id=new_id()))

    def rows(self, query, timeout=60, breaks_max=5):
        """Yields the rows of a query; a stream that breaks goes on after the last batch that came whole."""
        breaks = 0
        while True:
            batch = []
            try:
                for event in self.data.Query(query, timeout=timeout):
                    batch += event.batch.rows
                    if event.batch.resume_token:
                        query.resume_token = event.batch.resume_token
                        yield from batch
                        batch, breaks = [], 0
                yield from batch
                return
            except grpc.RpcError as error:
                breaks += 1
                if error.code() != grpc.StatusCode.UNAVAILABLE or breaks > breaks_max:
                    raise
