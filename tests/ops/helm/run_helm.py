#!/usr/bin/env python3
"""Runs one test of the chart with the interpreter that has what it imports, which is installed under build/venv once.

    QUARRYD=path QUARRYCTL=path run_helm.py golden_test.py
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration" / "clients"))
import gateway


def main():
    gateway.python_with_grpc()
    python = gateway.python_with(["kubernetes_validate", "yaml"], ["kubernetes-validate==1.37.0"])
    sys.exit(subprocess.run([python, "-m", "unittest", pathlib.Path(sys.argv[1]).stem], cwd=HERE, check=False).returncode)


if __name__ == "__main__":
    main()
