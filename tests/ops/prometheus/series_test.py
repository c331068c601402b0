"""However odd the calls, a gateway gives no more series than docs/metrics.md says, and nothing that callers chose is in them."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from prometheus import METRICS_PAGE, gateway

GARBAGE = "zz9"  # In everything that the calls make up.
ROUNDS = 40
METHODS = ["DataService/Get", "DataService/List", "DataService/Aggregate", "DataService/Insert", "DataService/UpdateWhere",
           "TransactionService/Begin", "TransactionService/GetTransaction", "LockService/Acquire", "SchemaService/GetTable",
           "SchemaService/ResolveKey", "AdminService/GetShard", "AdminService/Explain"]
FORMULA = re.compile(r"^series ≤ (\d+) × methods \+ (\d+) × shards \+ (\d+) × resolvers \+ (\d+)$", re.MULTILINE)


def text(value):
    return {"textValue": value}


def odd_request(number):
    """No field is right, and none is the same twice."""
    odd = f"{GARBAGE}-{number}"
    return {"table": ["customers", odd][number % 2], "key": {"values": [text(odd)]}, "filter": f"name = '{odd}'", "columns": [odd],
            "record": {"columns": {odd: text(odd)}}, "name": odd, "shard": odd, "transactionId": odd, "requestId": odd, "leaseId": odd}


def odd_calls(http, number):
    """As JSON: methods that exist with what makes no sense, and methods that do not exist."""
    odd = f"{GARBAGE}-{number}"
    whole = odd_request(number)
    fields = {"Get": ["table", "key", "columns"], "List": ["table", "filter", "columns"], "Aggregate": ["table", "filter"],
              "Insert": ["table", "record", "requestId"], "UpdateWhere": ["table", "filter", "record"], "Begin": ["requestId"],
              "GetTransaction": ["transactionId"], "Acquire": ["name", "leaseId"], "GetTable": ["table"], "ResolveKey": ["table", "key"],
              "GetShard": ["shard"], "Explain": ["table"]}
    for method in METHODS:
        wanted = fields[method.split("/")[1]]
        yield f"http://{http}/quarry.v1.{method}", {name: whole[name] for name in wanted if number % 3 or name != wanted[-1]}
    yield f"http://{http}/quarry.v1.DataService/{odd}", {}
    yield f"http://{http}/{odd}.Service/Get", {}
    yield f"http://{http}/{odd}", {}


def post(url, request, number):
    odd = f"{GARBAGE}-{number}"
    headers = {"content-type": "application/json", "x-request-id": odd, "x-tenant": odd, "user-agent": odd, "baggage": f"tenant={odd}"}
    asked = urllib.request.Request(url, data=json.dumps(request).encode(), headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def over_grpc(grpc, paths):
    """The codes of an empty message to each path, by the stock Python client."""
    program = pathlib.Path(__file__).resolve().parent / "odd_grpc_calls.py"
    done = subprocess.run([gateway.python_with_grpc(), program, grpc, *paths], check=True, capture_output=True, text=True)
    return done.stdout.split()


class Series(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="quarry-series-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def scrape(self, http):
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=20) as reply:
            page = reply.read().decode()
        return page, [line for line in page.splitlines() if line and not line.startswith("#")]

    def bound(self, lines):
        """The formula of the page, with what this gateway has."""
        def count(pattern):
            return len({found for line in lines for found in re.findall(pattern, line)})

        methods = count(r'^grpc_server_started_total{.*grpc_service="([^"]+",grpc_method="[^"]+)"')
        shards = count(r'^quarry_shard_up{shard="([^"]+)"')
        resolvers = count(r'^quarry_resolutions_total{resolver="([^"]+)"')
        self.assertEqual((shards, resolvers), (4, 1))
        found = FORMULA.search(METRICS_PAGE.read_text(encoding="utf-8"))
        self.assertIsNotNone(found, "docs/metrics.md has no formula")
        per_method, per_shard, per_resolver, rest = map(int, found.groups())
        self.check_rest(lines, rest)
        return per_method * methods + per_shard * shards + per_resolver * resolvers + rest

    def check_rest(self, lines, rest):
        """What depends on nothing: exactly so many, so that the formula is not just large enough."""
        others = [line for line in lines if not re.match(r"grpc_server_|quarry_resolutions_", line) and 'shard="' not in line]
        self.assertEqual(len(others), rest, "\n".join(others))

    def test_no_call_can_make_series_without_bound(self):
        with gateway.quarryd(self.folder, "--quickstart", str(self.folder / "data")) as (_, ports):
            http, grpc = f"127.0.0.1:{ports['http']}", f"127.0.0.1:{ports['grpc']}"
            before = self.scrape(http)[1]
            codes = {post(url, request, number) for number in range(ROUNDS) for url, request in odd_calls(http, number)}
            self.assertLessEqual({400, 404}, codes)
            unknown = [f"/{GARBAGE}{number}.Service/Method" for number in range(ROUNDS)] + [
                f"/quarry.v1.DataService/{GARBAGE}{number}" for number in range(ROUNDS)]
            self.assertEqual(set(over_grpc(grpc, unknown)), {"UNIMPLEMENTED"})
            self.assertEqual(over_grpc(grpc, ["/quarry.v1.DataService/Get"]), ["INVALID_ARGUMENT"])
            page, after = self.scrape(http)
            self.assertNotIn(GARBAGE, page)
            self.assertLessEqual(len(after), self.bound(after))
            # What did grow are codes and kinds of calls that came for the first time.
            grown = {re.sub(r'"[^"]*"', "", line.rsplit(" ", 1)[0]) for line in self.names(after) - self.names(before)}
            self.assertLessEqual({line.split("{")[0] for line in grown},
                                 {"grpc_server_handled_total", "quarry_shard_calls_total", "quarry_shard_call_seconds_bucket",
                                  "quarry_shard_call_seconds_sum", "quarry_shard_call_seconds_count"})
            # The same once more: nothing is new.
            for number in range(ROUNDS, 2 * ROUNDS):
                for url, request in odd_calls(http, number):
                    post(url, request, number)
            self.assertEqual(self.of_calls(self.scrape(http)[1]), self.of_calls(after))

    def names(self, lines):
        return {line.rsplit(" ", 1)[0] for line in lines}

    def of_calls(self, lines):
        return {name for name in self.names(lines) if name.startswith("grpc_server_")}


if __name__ == "__main__":
    unittest.main(verbosity=2)
