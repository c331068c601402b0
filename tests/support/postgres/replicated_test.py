"""Pairs stream, wait for each other, survive the loss of either side, and say what is wrong when they cannot start."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import replicated
from servers import ServerError, free_port

SCRIPT = pathlib.Path(replicated.__file__)


def commands_with(text):
    """The command lines of running processes that have the text in them."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            command = path.read_bytes().decode(errors="replace")
            found += [command] if text in command else []
    return found


class PairTest(unittest.TestCase):
    """One pair for the tests that leave it as it was."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(replicated.Cluster(pairs=1, databases=["shop"]))
        cls.pair = cls.cluster.pairs[0]
        cls.pair.primary.sql("CREATE TABLE rows (id bigint PRIMARY KEY)", "shop")

    def test_the_standby_has_what_the_primary_acknowledged(self):
        self.pair.primary.sql("SET synchronous_commit = remote_apply; INSERT INTO rows VALUES (1)", "shop")
        self.assertEqual(self.pair.standby.sql("SELECT id FROM rows WHERE id = 1", "shop"), "1")
        with self.assertRaisesRegex(ServerError, "standby of s0: INSERT.*read-only"):
            self.pair.standby.sql("INSERT INTO rows VALUES (2)", "shop")

    def test_it_streams_through_its_slot(self):
        self.assertEqual(self.pair.primary.sql("SELECT slot_name, slot_type, active FROM pg_replication_slots"),
                         "standby|physical|t")

    def test_a_commit_waits_while_the_standby_is_away(self):
        self.pair.standby.stop()
        writer = self.pair.primary.command("psql", "-Xq", "-d", self.pair.primary.conninfo("shop"), "-c",
                                           "INSERT INTO rows VALUES (3)")
        self.addCleanup(writer.kill)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'INSERT%'"
        self.pair.primary.wait_for(waits, "1")
        self.assertIsNone(writer.poll(), "it was acknowledged without the standby")
        self.pair.standby.start()
        self.pair.wait_until_streaming()
        self.assertEqual(writer.wait(timeout=60), 0)
        self.assertEqual(self.pair.standby.sql("SELECT id FROM rows WHERE id = 3", "shop"), "3")

    def test_servers_do_not_run_as_root(self):
        for server in (self.pair.primary, self.pair.standby):
            self.assertNotEqual(os.stat(f"/proc/{server.process.pid}").st_uid, 0)


class PromoteTest(unittest.TestCase):
    def test_the_standby_takes_the_place_of_a_primary_that_was_killed(self):
        with replicated.Cluster(pairs=1) as cluster:
            pair = cluster.pairs[0]
            pair.primary.sql("CREATE TABLE rows (id bigint PRIMARY KEY); INSERT INTO rows VALUES (7)")
            with self.assertRaisesRegex(ServerError, "its primary still runs"):
                pair.promote()
            pair.primary.stop(signal.SIGKILL)
            pair.promote()
            self.assertEqual(pair.standby.sql("SELECT id FROM rows"), "7")
            pair.standby.sql("INSERT INTO rows VALUES (8)")  # It waits for no standby.


class ScriptTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="quarry-replicated-test-")))
        self.folder.chmod(0o755)  # The servers' user passes through.

    def start(self, *options):
        script = self.enterContext(subprocess.Popen([sys.executable, SCRIPT, *options], stdout=subprocess.PIPE,
                                                    stderr=subprocess.PIPE, text=True))
        self.addCleanup(script.kill)
        return script

    def refused(self, *options):
        _, error = (script := self.start(*options)).communicate(timeout=120)
        self.assertEqual(script.returncode, 1, error)
        self.assertTrue(error.startswith("replicated.py: "), error)
        return error

    def test_it_tells_where_they_are_and_stops_them_when_it_is_told(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                script = self.start("--pairs", "1", "--synchronous", "--database", "shop")
                pair = json.loads(script.stdout.readline())["pairs"][0]
                answer = subprocess.run(["psql", "-XAt", "-d", pair["primary"]["conninfo"].replace("dbname=postgres", "dbname=shop"),
                                         "-c", "SHOW synchronous_standby_names"], capture_output=True, text=True, check=True)
                self.assertEqual(answer.stdout, pair["slot"] + "\n")
                script.send_signal(number)
                self.assertEqual(script.wait(timeout=120), 0)
                for server in (pair["primary"], pair["standby"]):
                    self.assertFalse(os.path.exists(f"/proc/{server['pid']}"))
                    self.assertFalse(os.path.exists(server["folder"]))

    def test_a_signal_during_the_start_leaves_nothing_behind(self):
        script = self.start("--pairs", "1", "--folder", str(self.folder / "servers"), "--json", str(self.folder / "at.json"))
        data = self.folder / "servers" / "s0-primary" / "data"
        while not data.exists() and script.poll() is None:
            pass  # It is made within the first second.
        script.send_signal(signal.SIGTERM)
        self.assertEqual(script.wait(timeout=120), 0)
        self.assertFalse((self.folder / "at.json").exists())
        last = time.monotonic() + 60
        while commands_with(str(self.folder)) and time.monotonic() < last:
            pass  # The kernel kills what outlives the script, which takes a moment.
        self.assertEqual(commands_with(str(self.folder)), [])

    def test_the_json_file_and_the_folder_are_where_they_were_wanted(self):
        at = self.folder / "at.json"
        script = self.start("--pairs", "1", "--folder", str(self.folder / "servers"), "--json", str(at))
        while not at.exists() and script.poll() is None:
            pass  # The script's own deadlines end it.
        pair = json.loads(at.read_text(encoding="utf-8"))["pairs"][0]
        self.assertFalse(pair["synchronous"])
        script.terminate()
        self.assertEqual(script.communicate(timeout=120), ("", ""))
        self.assertTrue((self.folder / "servers" / "s0-standby" / "data" / "PG_VERSION").exists(), "a named folder is kept")

    def test_a_port_that_is_taken_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assertIn(f"primary of s0: port {port} of 127.0.0.1 is taken",
                          self.refused("--pairs", "1", "--first-port", str(port)))

    def test_a_folder_that_cannot_be_made_is_named(self):
        (self.folder / "file").write_text("")
        error = self.refused("--pairs", "1", "--folder", str(self.folder / "file" / "below"))
        self.assertIn(f"cannot make the folder {self.folder / 'file' / 'below'}: Not a directory", error)

    def test_a_folder_that_the_servers_may_not_enter_is_named(self):
        if os.geteuid() != 0:
            self.skipTest("only root starts them as somebody else")
        closed = self.folder / "closed"
        closed.mkdir(mode=0o700)
        self.assertRegex(self.refused("--pairs", "1", "--folder", str(closed)),
                         f"(?s)initdb failed in {closed}/s0-primary:.*Permission denied.*Every folder on the way must be open")

    def test_a_folder_that_is_in_use_is_named(self):
        (self.folder / "s0-primary").mkdir()
        self.assertIn(f"cannot make the folder {self.folder}/s0-primary: File exists",
                      self.refused("--pairs", "1", "--folder", str(self.folder)))

    def test_a_server_without_its_data_says_why_it_does_not_start(self):
        server = replicated.Server("lost", self.folder / "lost", free_port())
        server.make_folder()
        server.start()
        with self.assertRaisesRegex(ServerError, "(?s)lost: the server on port .* ended at its start; its log:.*lost/data"):
            server.wait_until_ready()


if __name__ == "__main__":
    unittest.main(verbosity=2)
