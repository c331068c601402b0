"""A PostgreSQL cluster of its own, for as long as a block runs."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

import gateway

START_SECONDS = 60


def programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        sys.exit("no /usr/lib/postgresql/*/bin/initdb: install the package postgresql")
    return found[-1].parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unprivileged():
    """How subprocess starts a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def cluster(folder, databases, settings=()):
    """A server with these databases, no passwords and a socket in `folder`; yields the port on 127.0.0.1."""
    account = unprivileged()
    folder.mkdir()
    if account:
        shutil.chown(folder, account["user"], account["group"])
    common = {"cwd": folder, **account}
    bin_folder, data, port = programs(), folder / "data", free_port()
    subprocess.run([bin_folder / "initdb", "-D", data, "-U", "quarry", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
                   check=True, stdout=subprocess.DEVNULL, **common)
    with open(folder / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-c",
             "max_connections=200", "-c", "max_prepared_transactions=64", *(word for setting in settings for word in ("-c", setting))],
            stdout=log, stderr=log, preexec_fn=gateway.die_with_parent, **common)
    try:
        address = ["-h", "127.0.0.1", "-p", str(port), "-U", "quarry"]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([bin_folder / "pg_isready", "-q", *address], check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("PostgreSQL did not start:\n" + (folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.05)  # A poll of another process.
        for database in databases:
            subprocess.run([bin_folder / "createdb", *address, database], check=True)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # Fast: sessions end, the data is kept whole.
        server.wait(timeout=60)
