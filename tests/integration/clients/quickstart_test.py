"""The quickstart: what it prints to try works, its data directory through starts that fail, restarts, and a second server."""

import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import gateway


def count(ports, table):
    """Rows of a table over all shards."""
    command = [gateway.binary("QUARRYCTL"), "--address", f"127.0.0.1:{ports['grpc']}", "-o", "json", "sql", "--all",
               f"SELECT count(*) AS n FROM {table}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return sum(json.loads(line)["n"] for line in done.stdout.splitlines())


def commands_in(text):
    """The commands that quarryd prints, as a shell takes them: lines that go on and here documents are whole."""
    lines = iter(text.split("Try in another terminal:\n", 1)[1].splitlines())
    commands = []
    for line in lines:
        if not re.match(r" *(export|curl|python3|\S*quarryctl) ", line):
            continue
        command = [line]
        ends = re.search(r"<<'(\w+)'", line)
        while command[-1] != ends.group(1) if ends else command[-1].endswith("\\"):
            command.append(next(lines))
        commands.append("\n".join(command))
    return commands


class Quickstart(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="quarry-quickstart-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def serving(self, *options, **files):
        return gateway.quarryd(self.folder, "--quickstart", str(self.folder / "data"), *options, **files)

    def refused(self, *options, env=None):
        """Starts quarryd, which must not serve; its error."""
        command = [gateway.binary("QUARRYD"), "run", "--quickstart", str(self.folder / "data"), "--set",
                   "listen.http=127.0.0.1:0", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def answers(self, commands):
        """What each command prints; all run in one terminal, so an exported variable stays."""
        done = subprocess.run(["bash", "-e", "-c", "\nprintf '\\0'\n".join(commands)], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split("\0")

    def test_what_it_prints_to_try_works_and_ctrl_c_drains_it(self):
        log = self.folder / "log"
        reading, writing = os.pipe()
        printed = self.enterContext(open(reading, encoding="utf-8"))
        started = time.monotonic()
        with open(log, "w") as errors, self.serving(out=writing, log=errors, stop=signal.SIGINT):
            os.close(writing)
            seconds = time.monotonic() - started
            print(f"ready {seconds:.2f} s after its start, with a shop to fill", flush=True)
            text = "".join(itertools.takewhile(lambda line: not line.startswith("Ctrl-C"), printed))
            export, get, resolve, sql, curl, python = commands_in(text)
            answers = self.answers([export, get, resolve, sql, curl, python])
        self.assertRegex(answers[1], r"(?m)^customer_id +42$")
        self.assertRegex(answers[2], r"\bs[0-3]\b")
        self.assertRegex(answers[3], r"\bs0\b(?s:.*)\bs3\b")
        name = json.loads(answers[4])["record"]["columns"]["name"]["textValue"]
        self.assertIn(name, answers[1])
        self.assertRegex(answers[5], rf"\A41 .+\n42 {re.escape(name)}\n\Z")
        self.assertRegex(log.read_text(), r"stopping: new calls are refused(?s:.*)stopped\n\Z")
        if os.environ.get("BUILD_TYPE") in ("Release", "RelWithDebInfo"):
            self.assertLessEqual(seconds, 1)

    def test_each_line_of_a_log_in_json_is_an_object(self):
        log = self.folder / "log"
        with open(log, "w") as errors, self.serving("--set", "log.format=json", "--set", "log.level=debug", log=errors) as (server, ports):
            self.assertEqual(count(ports, "customers"), 200)
            for request in (b"no JSON", b'{"table": "a \\"quoted\\"\\nname"}'):
                call = urllib.request.Request(f"http://127.0.0.1:{ports['http']}/quarry.v1.DataService/Get", request,
                                              {"content-type": "application/json"})
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(call, timeout=10)
                refused.exception.close()
            server.send_signal(signal.SIGHUP)
        lines = log.read_text().splitlines()
        for line in lines:
            fields = json.loads(line)
            self.assertLessEqual({"level", "time"}, fields.keys(), line)
        self.assertTrue(any("serving gRPC" in line for line in lines))
        self.assertTrue(any("stopped" in line for line in lines))

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
