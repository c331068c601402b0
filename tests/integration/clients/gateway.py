"""What the tests in Python share: quarryd as a child process, and the packages and generated code of its clients.

Only the standard library is used here.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

REPO = pathlib.Path(__file__).resolve().parents[3]
START_SECONDS = 30
PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def locked(path):
    """Tests that run side by side install one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def python_with(modules, packages, *pip_options):
    """The interpreter of build/venv, after installing `packages` there when one of `modules` is not found."""
    venv = REPO / "build" / "venv"
    python = venv / "bin" / "python"
    probe = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {modules!r})))"
    with locked(REPO / "build" / "venv.lock"):
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        if subprocess.run([str(python), "-c", probe]).returncode != 0:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pip_options]
            subprocess.run([*pip, *packages], check=True)
    return str(python)


def python_with_grpc():
    # For what runs it from here: gRPC would begin its threads again in a forked child, which dies of that now and then before it runs its program.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    return python_with(["grpc", "grpc_health", "grpc_reflection", "grpc_tools"],
                       ["grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-tools"])


def generate_python(python, target):
    """Runs the stock generator on all protos; side by side, the same files are written twice."""
    proto = REPO / "proto"
    # grpc/ is left out: Python's own grpc package hides it, and brings health as grpc_health.
    sources = [str(path) for folder in ("google", "quarry") for path in sorted((proto / folder).rglob("*.proto"))]
    with locked(target.parent / f"{target.name}.lock"):
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [python, "-m", "grpc_tools.protoc", f"-I{proto}", f"--python_out={target}",
             f"--grpc_python_out={target}", *sources],
            check=True,
        )


def die_with_parent():
    """For a child before it runs its program: a test that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def binary(variable):
    path = os.environ.get(variable, "")
    if not os.access(path, os.X_OK):
        sys.exit(f"{variable} is \"{path}\", which cannot be run; build it and set the variable")
    return path


def takes_calls(http):
    """Whether it is ready, or would be but for tables that the test has yet to create."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5):
            return True
    except urllib.error.HTTPError as refused:
        return b"the table is missing on" in refused.read()
    except (urllib.error.URLError, ConnectionError):
        return False


def wait_until(what, ready, seconds=60):
    """Polls until `ready` returns something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = ready()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)  # A poll of another process.


def wait_until_ready(server, ports_file):
    deadline = time.monotonic() + START_SECONDS
    ports = None
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"quarryd ended with {server.returncode} before it was ready")
        if ports is None and ports_file.exists():
            with contextlib.suppress(json.JSONDecodeError):
                ports = json.loads(ports_file.read_text())
        if ports is not None and takes_calls(ports["http"]):
            return ports
        time.sleep(0.02)  # A poll of another process; nothing else tells that it is ready.
    sys.exit(f"quarryd was not ready within {START_SECONDS} s")


@contextlib.contextmanager
def quarryd(folder, *arguments, out=None, log=None, stop=signal.SIGTERM):
    """quarryd run on free ports while the block runs; yields its process and ports, and proves that it drains.

    What it prints goes to the file `out` and its log to the file `log`, else where this program's output and errors go. `stop`
    ends it.
    """
    ports_file = folder / "ports.json"
    ports_file.unlink(missing_ok=True)
    server = subprocess.Popen([binary("QUARRYD"), "run", *arguments, "--set", "listen.grpc=127.0.0.1:0", "--set",
                               "listen.http=127.0.0.1:0", "--ports-file", str(ports_file)],
                              stdout=out, stderr=log, preexec_fn=die_with_parent)
    try:
        yield server, wait_until_ready(server, ports_file)
    finally:
        died = server.poll()
        if died is not None:
            # Whatever else went wrong in the block, this is why.
            print(f"quarryd ended by itself, with {died}", file=sys.stderr, flush=True)
        server.send_signal(stop)
        try:
            code = server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            sys.exit("quarryd did not drain within 30 s")
    if code != 0:
        sys.exit(f"quarryd ended with {code}")
