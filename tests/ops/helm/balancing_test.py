"""The published service config with the line of docs/kubernetes.md, in a stock client of two gateways: both get calls, and one that drains costs none."""

import contextlib
import json
import pathlib
import re
import signal
import sys
import tempfile
import unittest
import urllib.request

import chart
import grpc

sys.path.insert(0, str(chart.REPO / "tests" / "integration" / "clients"))
import gateway

CALLS = 200


def service_config():
    published = json.loads((chart.REPO / "proto/quarry/v1/service_config.json").read_text())
    page = (chart.REPO / "docs" / "kubernetes.md").read_text()
    return json.dumps(published | json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL).group(1)))


def calls_served(ports):
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/metrics", timeout=5) as reply:
        found = re.search(r'grpc_server_handled_total\{[^}]*grpc_code="OK"[^}]*grpc_method="GetInfo"[^}]*\} (\d+)|'
                          r'grpc_server_handled_total\{[^}]*grpc_method="GetInfo"[^}]*grpc_code="OK"[^}]*\} (\d+)', reply.read().decode())
    return int(found.group(1) or found.group(2)) if found else 0


class BalancingTest(unittest.TestCase):
    def test_calls_go_to_all_gateways_and_leave_one_that_drains(self):
        self.assertIn("healthCheckConfig", json.loads(service_config()))
        with contextlib.ExitStack() as stack:
            folders = [pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-balance-"))) for _ in range(2)]
            (first, first_ports), (_, second_ports) = (
                stack.enter_context(gateway.quarryd(folder, "--quickstart", str(folder / "data"))) for folder in folders)
            target = f"ipv4:127.0.0.1:{first_ports['grpc']},127.0.0.1:{second_ports['grpc']}"
            channel = stack.enter_context(grpc.insecure_channel(target, options=[("grpc.service_config", service_config())]))
            ask = channel.unary_unary("/quarry.v1.AdminService/GetInfo")

            def call():
                # An empty message, and bytes back: the generated code is not what is tested.
                self.assertTrue(ask(b"", timeout=10, wait_for_ready=True))

            # The second connection comes a moment after the first.
            for _ in range(20 * CALLS):
                call()
                if calls_served(second_ports) > CALLS and calls_served(first_ports) > CALLS:
                    break
            self.assertGreater(min(calls_served(first_ports), calls_served(second_ports)), CALLS)
            first.send_signal(signal.SIGTERM)
            before = calls_served(second_ports)
            for _ in range(CALLS):
                call()
            self.assertEqual(first.wait(timeout=30), 0)
            for _ in range(CALLS):
                call()
            self.assertGreater(calls_served(second_ports) - before, CALLS)


if __name__ == "__main__":
    unittest.main()
