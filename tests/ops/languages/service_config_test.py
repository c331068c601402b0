"""The published service config: it names what is there, says what docs/languages.md says, and gRPC does as it says.

Runs in a Python that has grpc and the generated code of quarry.v1, against QUARRY_ADDRESS.
"""

import json
import os
import pathlib
import socket
import time
import unittest
from concurrent import futures

import grpc
from google.protobuf import descriptor_pool
from quarry.v1 import admin_pb2, data_pb2, lock_pb2, schema_pb2, shard_pb2, transaction_pb2, value_pb2

REPO = pathlib.Path(__file__).resolve().parents[3]
CONFIG = (REPO / "proto" / "quarry" / "v1" / "service_config.json").read_text(encoding="utf-8")
FILES = (admin_pb2, data_pb2, lock_pb2, schema_pb2, shard_pb2, transaction_pb2)
GET = "/quarry.v1.DataService/Get"
SAVEPOINT = "/quarry.v1.TransactionService/Savepoint"
# Raw SQL may add one to something, a savepoint of a transaction that is gone is gone, and a lease is renewed in a stream.
NEVER_RETRIED = {"ShardService/OnShard", "ShardService/OnAllShards", "TransactionService/Savepoint",
                 "TransactionService/RollbackToSavepoint", "TransactionService/ReleaseSavepoint", "LockService/KeepAlive",
                 "LockService/Release"}
# They last as long as there are rows, or until their turn comes.
NO_TIMEOUT = {"ShardService/OnShard", "ShardService/OnAllShards", "DataService/Query", "LockService/KeepAlive",
              "LockService/Acquire"}


def methods():
    return [method for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
            for method in service.methods]


def entry_of(config, method):
    """The entry of methodConfig in force for a method, as gRPC chooses it: its own name, then its service's."""
    service = method.containing_service.full_name
    for wanted in ({"service": service, "method": method.name}, {"service": service}):
        for entry in config["methodConfig"]:
            if wanted in entry["name"]:
                return entry
    return {}


def short(method):
    return f"{method.containing_service.name}/{method.name}"


class Refusing(grpc.GenericRpcHandler):
    """Refuses so many calls with UNAVAILABLE, then answers; counts them."""

    def __init__(self, refusals):
        self.refusals, self.calls = refusals, 0

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        self.calls += 1
        if self.calls <= self.refusals:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return b""


class ServiceConfigTest(unittest.TestCase):
    def channel(self, address, config=CONFIG):
        channel = grpc.insecure_channel(address, [("grpc.service_config", config)])
        self.addCleanup(channel.close)
        return channel

    def serve(self, handler):
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        return f"127.0.0.1:{port}"

    def test_it_names_methods_that_exist(self):
        pool = descriptor_pool.Default()
        for entry in json.loads(CONFIG)["methodConfig"]:
            for name in entry["name"]:
                if name["service"].startswith("grpc.health."):
                    continue
                service = pool.FindServiceByName(name["service"])
                if "method" in name:
                    self.assertIn(name["method"], service.methods_by_name, name)

    def test_what_is_retried_and_what_has_a_timeout(self):
        config = json.loads(CONFIG)
        retried = {short(method): "retryPolicy" in entry_of(config, method) for method in methods()}
        timed = {short(method): entry_of(config, method).get("timeout") for method in methods()}
        self.assertEqual({name for name, retry in retried.items() if not retry}, NEVER_RETRIED)
        self.assertEqual({name for name, timeout in timed.items() if timeout is None}, NO_TIMEOUT)
        self.assertEqual({timeout for timeout in timed.values() if timeout}, {"30s"})
        for entry in config["methodConfig"]:
            if "retryPolicy" in entry:
                self.assertEqual(entry["retryPolicy"]["retryableStatusCodes"], ["UNAVAILABLE"])

    def test_grpc_takes_it_and_refuses_a_broken_one(self):
        request = data_pb2.GetRequest(table="customers", key=value_pb2.Key(values=[value_pb2.Value(int64_value=42)]))
        address = os.environ["QUARRY_ADDRESS"]
        get = self.channel(address).unary_unary(GET)
        self.assertTrue(get(request.SerializeToString(), timeout=10))
        broken = CONFIG.replace('"maxAttempts": 5', '"maxAttempts": 1')
        self.assertNotEqual(broken, CONFIG)
        with self.assertRaises(grpc.RpcError) as caught:
            self.channel(address, broken).unary_unary(GET)(request.SerializeToString(), timeout=10)
        self.assertIn("maxAttempts", caught.exception.details())

    def test_a_call_that_is_refused_is_made_again(self):
        gateway = Refusing(4)
        self.channel(self.serve(gateway)).unary_unary(GET)(b"", timeout=20)
        self.assertEqual(gateway.calls, 5)

    def test_five_attempts_are_all(self):
        gateway = Refusing(5)
        with self.assertRaises(grpc.RpcError) as caught:
            self.channel(self.serve(gateway)).unary_unary(GET)(b"", timeout=20)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(gateway.calls, 5)

    def test_a_savepoint_is_not_made_again(self):
        gateway = Refusing(1)
        with self.assertRaises(grpc.RpcError):
            self.channel(self.serve(gateway)).unary_unary(SAVEPOINT)(b"", timeout=20)
        self.assertEqual(gateway.calls, 1)

    def test_calls_go_to_all_addresses_of_a_name(self):
        gateways = [Refusing(0), Refusing(0)]
        addresses = [self.serve(gateway) for gateway in gateways]
        get = self.channel("ipv4:" + ",".join(addresses)).unary_unary(GET)
        deadline = time.monotonic() + 20
        while not all(gateway.calls for gateway in gateways):  # The second connection comes a moment later.
            get(b"", timeout=20)
            self.assertLess(time.monotonic(), deadline, [gateway.calls for gateway in gateways])

    def test_a_gateway_that_is_gone_is_left_out(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            gone = listener.getsockname()[1]
        gateway = Refusing(0)
        get = self.channel(f"ipv4:127.0.0.1:{gone},{self.serve(gateway)}").unary_unary(GET)
        for _ in range(10):
            get(b"", timeout=20)
        self.assertEqual(gateway.calls, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
