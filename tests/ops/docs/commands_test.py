"""Runs the shell blocks of README.md and docs/, page by page and in order, as a reader would: in a folder with the build beside
the examples, against the quickstart's server, with PostgreSQL at hand. Each block must end well.

    QUARRYD=… QUARRYCTL=… commands_test.py [-k page]

Only ports differ: what a page writes as 7400 and 7480 is this run's.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from unittest import mock

import blocks

REPO = blocks.REPO
sys.path[:0] = [str(REPO / "tests/integration/clients"), str(REPO / "tests/support/postgres")]

import gateway  # noqa: E402
from servers import Server, free_port, programs  # noqa: E402

BLOCK_SECONDS = 120
START_SECONDS = 30


class Reader:
    """One who works through a page: a folder, an environment, a server."""

    def __init__(self, stack, postgres):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-docs-")))
        binaries = pathlib.Path(gateway.binary("QUARRYD")).resolve().parent
        (self.folder / "build" / "release").mkdir(parents=True)
        (self.folder / "build" / "release" / "bin").symlink_to(binaries)
        for name in ("examples", "proto", "tests"):
            (self.folder / name).symlink_to(REPO / name)
        (self.folder / ".curlrc").write_text("fail-with-body\n")  # An answer that tells of an error is one.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY")}
        self.env |= {"PATH": f"{binaries}:{programs()}:{os.environ['PATH']}", "CURL_HOME": str(self.folder), "HOME": str(self.folder),
                     "QUARRYCTL_CONFIG": str(self.folder / "contexts.yaml"), "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port),
                     "PGUSER": postgres.user}
        self.running = None
        stack.callback(self.stop)
        self.serve(["quarryd", "run", "--quickstart", "data"])

    def serve(self, command):
        """In the place of what served before, on ports of its own."""
        self.stop()
        self.command = command
        self.grpc, self.http = free_port(), free_port()
        self.env |= {"QUARRY_LISTEN_GRPC": f"127.0.0.1:{self.grpc}", "QUARRY_LISTEN_HTTP": f"127.0.0.1:{self.http}",
                     "QUARRY_ADDRESS": f"127.0.0.1:{self.grpc}", "QUARRY_HTTP": f"http://127.0.0.1:{self.http}"}
        with open(self.folder / "server.log", "a", encoding="utf-8") as log:
            self.running = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log,
                                            preexec_fn=gateway.die_with_parent)
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.running.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command} does not serve:\n{(self.folder / 'server.log').read_text(encoding='utf-8')}")
            time.sleep(0.05)  # A poll of another process.

    def ready(self):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5):
                return True
        return False

    def stop(self):
        if self.running is None:
            return
        self.running.send_signal(signal.SIGTERM)
        code = self.running.wait(timeout=60)
        self.running = None
        if code != 0:
            raise AssertionError(f"the server ended with {code}")

    def here(self, commands):
        """The commands with this run's ports."""
        commands = re.sub(r"\b(127\.0\.0\.1|localhost):7400\b", f"127.0.0.1:{self.grpc}", commands)
        return re.sub(r"\b(127\.0\.0\.1|localhost):7480\b", f"127.0.0.1:{self.http}", commands)

    def run(self, commands):
        """What they print; an AssertionError with all of it when one fails. What they leave running is stopped."""
        if re.search(r"^quarryd run ", commands, re.MULTILINE):
            self.stop()  # A reader has to, for the ports.
        said = self.folder / "said"
        with open(said, "w", encoding="utf-8") as output:
            shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", self.here(commands)], cwd=self.folder, env=self.env,
                                     stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code = shell.wait(timeout=BLOCK_SECONDS)
            except subprocess.TimeoutExpired:
                code = f"no end within {BLOCK_SECONDS} s"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
        text = said.read_text(encoding="utf-8")
        if code != 0:
            raise AssertionError(f"ended with {code}:\n{commands}\n-- it said:\n{text}")
        return text

    def do(self, block):
        for command in block.first:
            self.run(command)
        commands = block.commands
        for word, command in block.words:
            value = self.run(command).strip()
            if not value or "\n" in value:
                raise AssertionError(f"{word} stands for nothing, or for more than one line: {command} said {value!r}")
            commands = re.sub(rf"(?<![\w-]){word}\b", value, commands)
        if block.stopped:
            self.stop()
            self.run(commands)
            self.serve(self.command)
        elif block.background:
            self.serve(["bash", "-c", f"exec {commands}"])
        else:
            self.run(commands)


class CommandsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="quarry-docs-postgres-")))
        cls.folder.chmod(0o755)  # PostgreSQL runs as another user.

    def work_through(self, page):
        with contextlib.ExitStack() as stack:
            # A server of the page's own: pages may make databases of the same names.
            postgres = Server("PostgreSQL", self.folder / page.replace("/", "-"))
            postgres.make_folder()
            postgres.finished(postgres.initialise(), "initdb")
            stack.callback(postgres.stop)
            postgres.start()
            postgres.wait_until_ready()
            reader = Reader(stack, postgres)
            for block in blocks.all_blocks()[page]:
                if block.runs_here:
                    with self.subTest(str(block)):
                        reader.do(block)

    def test_a_block_that_fails_is_a_failure(self):
        with contextlib.ExitStack() as stack:
            reader = Reader(stack, mock.Mock(port=1, user="nobody"))
            for bad in ("quarryctl get customers 424242", "false\ntrue", "curl -s localhost:7480/quarry.v1.DataService/Get -d '{'",
                        "quarryctl no-such-command | cat"):
                with self.subTest(bad), self.assertRaisesRegex(AssertionError, "ended with"):
                    reader.run(bad)
            self.assertIn("serving", reader.run("quarryctl --address 127.0.0.1:7400 health"))


def add(page):
    name = "test_" + re.sub(r"\W+", "_", page.removesuffix(".md")).lower()
    setattr(CommandsTest, name, lambda self: self.work_through(page))


for path, found in blocks.all_blocks().items():
    if any(block.runs_here for block in found):
        add(path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
