#!/usr/bin/env python3
"""Starts quarryd with the quickstart's shop in a temporary folder, runs one client against it, and stops it.

    QUARRYD=path/to/quarryd run_clients.py --build build/debug python|node|curl|COMMAND...

The client gets QUARRY_ADDRESS and QUARRY_HTTP. What the Python and Node clients need is installed once, under
build/venv and build/node. Only the standard library is used here.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[2]
EXAMPLES = REPO / "examples" / "quickstart"
START_SECONDS = 30


@contextlib.contextmanager
def locked(path):
    """Tests that run side by side install one after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def python_with_grpc():
    venv = REPO / "build" / "venv"
    python = venv / "bin" / "python"
    with locked(REPO / "build" / "venv.lock"):
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        probe = [str(python), "-c", "import grpc, grpc_health, grpc_tools"]
        if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode != 0:
            packages = ["grpcio", "grpcio-health-checking", "grpcio-tools"]
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return str(python)


def node_modules():
    folder = REPO / "build" / "node"
    with locked(REPO / "build" / "node.lock"):
        wanted = ["@grpc/grpc-js", "@grpc/proto-loader"]
        if not all((folder / "node_modules" / name).is_dir() for name in wanted):
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", *wanted], cwd=folder, check=True)
    return str(folder / "node_modules")


def generate_python(python, target):
    target.mkdir(parents=True, exist_ok=True)
    proto = REPO / "proto"
    # grpc/ is left out: Python's own grpc package hides it, and brings health as grpc_health.
    sources = [str(path) for folder in ("google", "quarry") for path in sorted((proto / folder).rglob("*.proto"))]
    subprocess.run(
        [python, "-m", "grpc_tools.protoc", f"-I{proto}", f"--python_out={target}", f"--grpc_python_out={target}",
         *sources],
        check=True,
    )


def wait_until_ready(server, ports_file):
    deadline = time.monotonic() + START_SECONDS
    ports = None
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"quarryd ended with {server.returncode} before it was ready")
        if ports is None and ports_file.exists():
            with contextlib.suppress(json.JSONDecodeError):
                ports = json.loads(ports_file.read_text())
        if ports is not None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/readyz", timeout=5):
                    return ports
            except (urllib.error.URLError, ConnectionError):
                pass
        time.sleep(0.02)  # A poll of another process; nothing else tells that it is ready.
    sys.exit(f"quarryd was not ready within {START_SECONDS} s")


@contextlib.contextmanager
def quarryd(folder):
    binary = os.environ.get("QUARRYD", "")
    if not os.access(binary, os.X_OK):
        sys.exit(f"QUARRYD is \"{binary}\", which cannot be run; build quarryd and set it")
    ports_file = folder / "ports.json"
    server = subprocess.Popen(
        [binary, "run", "--quickstart", str(folder / "data"), "--set", "listen.grpc=127.0.0.1:0", "--set",
         "listen.http=127.0.0.1:0", "--ports-file", str(ports_file)]
    )
    try:
        yield wait_until_ready(server, ports_file)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            code = server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            sys.exit("quarryd did not drain within 30 s")
    if code not in (0, -signal.SIGTERM):
        sys.exit(f"quarryd ended with {code}")


def commands(client, build):
    """The commands to run and what they need in the environment."""
    if client == ["python"]:
        python = python_with_grpc()
        generated = build / "clients" / "python"
        generate_python(python, generated)
        env = {"PYTHONPATH": str(generated)}
        return [[python, str(HERE / "python_client_test.py")], ["sh", str(EXAMPLES / "python.sh")]], env
    if client == ["node"]:
        env = {"NODE_PATH": node_modules(), "QUARRY_PROTOS": str(REPO / "proto")}
        return [["node", str(HERE / "node_client_test.js")], ["node", str(EXAMPLES / "quickstart.js")]], env
    if client == ["curl"]:
        return [["sh", str(EXAMPLES / "quickstart.sh")]], {}
    return [client], {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("client", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    to_run, env = commands(arguments.client, arguments.build.resolve())
    failed = False
    with tempfile.TemporaryDirectory(prefix="quarry-clients-") as folder:
        with quarryd(pathlib.Path(folder)) as ports:
            env["QUARRY_ADDRESS"] = f"127.0.0.1:{ports['grpc']}"
            env["QUARRY_HTTP"] = f"http://127.0.0.1:{ports['http']}"
            env["QUARRY_CONFIG"] = str(pathlib.Path(folder) / "no-config.yaml")
            for command in to_run:
                print("+", *command, flush=True)
                failed = subprocess.run(command, env={**os.environ, **env}).returncode != 0 or failed
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
