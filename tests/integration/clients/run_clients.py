#!/usr/bin/env python3
"""Starts quarryd with the quickstart's shop in a temporary folder, runs one client against it, and stops it.

    QUARRYD=path/to/quarryd run_clients.py --build build/debug python [TEST.py...]|node|COMMAND...

The client gets QUARRY_ADDRESS and QUARRY_HTTP. What the Python and Node clients need is installed once, under
build/venv and build/node. Only the standard library is used here.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import gateway

HERE = pathlib.Path(__file__).resolve().parent


def node_modules():
    folder = gateway.REPO / "build" / "node"
    with gateway.locked(gateway.REPO / "build" / "node.lock"):
        wanted = ["@grpc/grpc-js", "@grpc/proto-loader"]
        if not all((folder / "node_modules" / name).is_dir() for name in wanted):
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", *wanted], cwd=folder, check=True)
    return str(folder / "node_modules")


def commands(client, build):
    """The commands to run and what they need in the environment."""
    if client[:1] == ["python"]:
        python = gateway.python_with_grpc()
        generated = build / "clients" / "python"
        gateway.generate_python(python, generated)
        env = {"PYTHONPATH": str(generated)}
        tests = client[1:] or [str(HERE / name) for name in ("python_client_test.py", "reflection_test.py")]
        return [[python, test] for test in tests], env
    if client == ["node"]:
        env = {"NODE_PATH": node_modules(), "QUARRY_PROTOS": str(gateway.REPO / "proto")}
        return [["node", str(HERE / "node_client_test.js")]], env
    return [client], {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("client", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    to_run, env = commands(arguments.client, arguments.build.resolve())
    failed = False
    with tempfile.TemporaryDirectory(prefix="quarry-clients-") as name:
        folder = pathlib.Path(name)
        with gateway.quarryd(folder, "--quickstart", str(folder / "data")) as (_, ports):
            env["QUARRY_ADDRESS"] = f"127.0.0.1:{ports['grpc']}"
            env["QUARRY_HTTP"] = f"http://127.0.0.1:{ports['http']}"
            env["QUARRYCTL_CONFIG"] = str(folder / "no-config.yaml")
            for command in to_run:
                print("+", *command, flush=True)
                failed = subprocess.run(command, env={**os.environ, **env}).returncode != 0 or failed
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
