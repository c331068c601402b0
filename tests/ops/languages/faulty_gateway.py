"""A gateway that fails on purpose, in front of a real one: the first call of every method ends with UNAVAILABLE.

    faulty_gateway.py REAL_HOST:PORT CALLS_FILE

It prints its own port. A read, and a Begin, is refused; a write is applied and its answer is lost; a Query breaks after
its first batch. Everything else passes as it is. Each call is a line of CALLS_FILE: method, request and what was done.
Runs in a Python that has grpc and the generated code of quarry.v1.
"""

import collections
import json
import sys
import threading
from concurrent import futures

import grpc
from quarry.v1.query_pb2 import QueryResponse

WRITES = {f"/quarry.v1.DataService/{name}" for name in ("Insert", "Update", "Upsert", "Delete", "BatchWrite")}
WRITES |= {"/quarry.v1.TransactionService/Commit", "/quarry.v1.TransactionService/Rollback"}
DAY_SECONDS = 86400  # A call without a deadline has centuries left.
QUERY = "/quarry.v1.DataService/Query"


class FaultyGateway(grpc.GenericRpcHandler):
    def __init__(self, real, calls_file):
        self.channel = grpc.insecure_channel(real)
        self.calls_file = calls_file
        self.calls = collections.Counter()
        self.mutex = threading.Lock()

    def service(self, details):
        return grpc.unary_stream_rpc_method_handler(
            lambda request, context: self.answer(details.method, request, context))

    def answer(self, method, request, context):
        with self.mutex:
            self.calls[method] += 1
            fails = self.calls[method] == 1
            done = ("passed" if not fails else "broken" if method == QUERY else "lost" if method in WRITES else "refused")
            json.dump({"method": method, "request": request.hex(), "done": done}, self.calls_file)
            self.calls_file.write("\n")
            self.calls_file.flush()
        if done != "refused":
            yield from self.forward(method, request, context, done)
        if done != "passed":
            context.abort(grpc.StatusCode.UNAVAILABLE, f"the faulty gateway: {done}")

    def forward(self, method, request, context, done):
        left = context.time_remaining()
        try:
            for reply in self.channel.unary_stream(method)(request, timeout=left if left < DAY_SECONDS else None):
                if done != "lost":
                    yield reply
                if done == "broken" and QueryResponse.FromString(reply).batch.resume_token:
                    return
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata())
            context.abort(error.code(), error.details())


def main():
    with open(sys.argv[2], "w", encoding="utf-8") as calls_file:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8),
                             handlers=[FaultyGateway(sys.argv[1], calls_file)])
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
        server.wait_for_termination()


if __name__ == "__main__":
    main()
