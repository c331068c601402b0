"""The quickstart's data directory through starts that fail, restarts, and a second server that wants it."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest
import urllib.request

import gateway


def count(ports, table):
    """Rows of a table over all shards."""
    command = [gateway.binary("QUARRYCTL"), "--address", f"127.0.0.1:{ports['grpc']}", "-o", "json", "sql", "--all",
               f"SELECT count(*) AS n FROM {table}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return sum(json.loads(line)["n"] for line in done.stdout.splitlines())


class Quickstart(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="quarry-quickstart-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def serving(self):
        return gateway.quarryd(self.folder, "--quickstart", str(self.folder / "data"))

    def refused(self, *options, env=None):
        """Starts quarryd, which must not serve; its error."""
        command = [gateway.binary("QUARRYD"), "run", "--quickstart", str(self.folder / "data"), "--set",
                   "listen.http=127.0.0.1:0", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_a_start_on_a_taken_port_leaves_nothing_half_made(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            error = self.refused("--set", f"listen.grpc=127.0.0.1:{taken.getsockname()[1]}")
            self.assertEqual(error.count("\n"), 1, error)
            self.assertIn("no other process has the port", error)
        with self.serving() as (_, ports):
            self.assertEqual(count(ports, "customers"), 200)
            self.assertEqual(count(ports, "settings"), 1)

    def test_a_restart_keeps_what_is_there(self):
        with self.serving() as (_, ports):
            address = f"127.0.0.1:{ports['grpc']}"
            subprocess.run([gateway.binary("QUARRYCTL"), "--address", address, "delete", "settings", "currency"],
                           check=True, stdout=subprocess.DEVNULL)
        with self.serving() as (_, ports):
            self.assertEqual(count(ports, "settings"), 0)
            self.assertEqual(count(ports, "customers"), 200)

    def test_a_second_server_on_the_same_files_refuses(self):
        with self.serving() as (_, ports):
            self.assertIn("is in use by process", self.refused("--set", "listen.grpc=127.0.0.1:0"))
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/readyz", timeout=10) as reply:
                self.assertEqual(reply.read(), b"ready\n")

    def test_the_variables_of_clients_do_not_disturb_it(self):
        os.environ["QUARRY_ADDRESS"] = "127.0.0.1:1"
        self.addCleanup(os.environ.pop, "QUARRY_ADDRESS")
        with self.serving() as (_, ports):
            self.assertEqual(count(ports, "products"), 24 * 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
