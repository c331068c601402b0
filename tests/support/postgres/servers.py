"""PostgreSQL servers for tests: initialised, started and stopped as an unprivileged user. Only the standard library.

A server dies with the thread that started it: start servers on the main thread.
"""

import ctypes
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.05
PORT_TRIES = 5
PR_SET_PDEATHSIG = 1
SETTINGS = ("max_connections=200", "max_prepared_transactions=64")


class ServerError(Exception):
    """What of a server failed, where, why, and what to do."""


def programs():
    """The folder of the newest PostgreSQL's programs."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise ServerError("no /usr/lib/postgresql/*/bin/initdb: install the package postgresql")
    return found[-1].parent


RESERVED = []  # Bound, but not listening: a server that names its port gets it, who asks the system for a free one does not.


def free_port():
    """A port of 127.0.0.1 that nobody is given while this process lives, unless he names it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    RESERVED.append(reserved)
    return reserved.getsockname()[1]


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def unprivileged():
    """How subprocess starts a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise ServerError("PostgreSQL refuses to run as root, and there is no user postgres or nobody: run this as another user")


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One server: its folder holds the data, the socket and the log."""

    def __init__(self, name, folder, port=None, user="postgres"):
        """Without a port the first start takes a free one, which the server then keeps."""
        self.name, self.folder, self.port, self.user = name, folder, port, user
        self.data, self.log_file = folder / "data", folder / "log"
        self.process, self.settings, self.port_tries = None, (), 1 if port else PORT_TRIES

    def conninfo(self, database="postgres"):
        return f"host=127.0.0.1 port={self.port} user={self.user} dbname={database}"

    def log(self):
        try:
            return self.log_file.read_text(encoding="utf-8", errors="replace")[-4000:]
        except OSError:
            return ""

    def make_folder(self):
        try:
            self.folder.mkdir()
            account = unprivileged()
            if account:
                shutil.chown(self.folder, account["user"], account["group"])
        except OSError as error:
            raise ServerError(f"{self.name}: cannot make the folder {self.folder}: {error.strerror}; name a folder "
                              "that can be written") from error

    def command(self, program, *arguments):
        """A program of PostgreSQL as the server's user, its output in the log; not waited for."""
        with open(self.log_file, "ab") as log:
            return subprocess.Popen([programs() / program, *map(str, arguments)], stdout=log, stderr=log, cwd=self.folder,
                                    stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, **unprivileged())

    def initialise(self):
        """Begins to fill the data directory; for `finished`."""
        return self.command("initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                            "--no-sync")

    def finished(self, command, doing):
        if command.wait() != 0:
            log = self.log()
            hint = "\nEvery folder on the way must be open to the servers' user." if "Permission denied" in log else ""
            raise ServerError(f"{self.name}: {doing} failed in {self.folder}:\n{log}{hint}")

    def start(self, settings=()):
        """Started; `wait_until_ready` tells when it serves. Without settings: those of the start before."""
        self.settings = settings or self.settings
        self.port = self.port or free_port()
        words = [word for setting in (*SETTINGS, *self.settings) for word in ("-c", setting)]
        self.process = self.command("postgres", "-D", self.data, "-p", self.port, "-h", "127.0.0.1", "-k", self.folder, *words)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while not self.running() or not self.answers():
            if not self.running():
                self.start_elsewhere()
            elif time.monotonic() > deadline:
                raise ServerError(f"{self.name}: the server on port {self.port} did not answer in time; its log:\n{self.log()}")
            time.sleep(POLL_SECONDS)  # A poll of another process.
        self.port_tries = 1

    def start_elsewhere(self):
        """After an early end: again where another process was quicker to take a port that was free."""
        if not port_is_free(self.port):
            self.port_tries -= 1
            if self.port_tries == 0:
                raise ServerError(f"{self.name}: port {self.port} of 127.0.0.1 is taken by another process: stop that, or "
                                  "let the system choose ports")
            self.port = None
            self.start()
            return
        raise ServerError(f"{self.name}: the server on port {self.port} ended at its start; its log:\n{self.log()}")

    def answers(self):
        ask = [programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user]
        return subprocess.run(ask, check=False).returncode == 0

    def sql(self, statement, database="postgres"):
        """The rows as text, one a line, columns separated by "|"."""
        ask = [programs() / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(database), "-c", statement]
        done = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if done.returncode != 0:
            raise ServerError(f"{self.name}: {statement}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def wait_for(self, query, answer="t", database="postgres"):
        """Asks until the answer comes."""
        deadline = time.monotonic() + START_SECONDS
        while (got := self.sql(query, database)) != answer:
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name}: {query} still gives {got!r} instead of {answer!r} after {START_SECONDS} s; "
                                  f"its log:\n{self.log()}")
            time.sleep(POLL_SECONDS)  # A poll of another process.

    def tell(self, number):
        if self.running():
            self.process.send_signal(number)

    def stop(self, how=signal.SIGINT):
        """SIGINT: sessions end, the data is kept whole. SIGQUIT: as after a crash. SIGKILL: as on a machine that fails."""
        if not self.running():
            return
        self.tell(how)
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ServerError(f"{self.name}: the server did not stop within {STOP_SECONDS} s and was killed; its log:\n"
                              f"{self.log()}") from None
