#!/usr/bin/env python3
"""Installs the stock Python client under build/venv, and runs cluster_test.py with it.

    QUARRYD=path/to/quarryd QUARRYCTL=path/to/quarryctl [QUARRY_TEST_DATABASE=sqlite|postgres|replicated]
    [QUARRY_TEST_SHARDS=2] run_cluster.py --build build/debug [test names]
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FOLDERS = [HERE.parent / "clients", HERE.parents[1] / "support" / "postgres"]
sys.path.insert(0, str(FOLDERS[0]))

import gateway  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    generated = arguments.build.resolve() / "clients" / "python"
    python = gateway.python_with_grpc()
    gateway.generate_python(python, generated)
    path = os.pathsep.join(map(str, [generated, *FOLDERS]))
    command = [python, str(HERE / "cluster_test.py"), *arguments.tests]
    sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode)


if __name__ == "__main__":
    main()
