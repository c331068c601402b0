#!/usr/bin/env python3
"""Writes the dashboards as Grafana's JSON beside this file: change panels.py, run this, commit both.

panels.py says what is shown, grafana.py how that is spelt. Only the standard library is used.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from grafana import dashboard  # noqa: E402
from panels import DASHBOARDS  # noqa: E402


def files():
    """What each dashboard's file holds, by its path."""
    return {HERE / f"{name}.json": json.dumps(dashboard(name, description, rows()), indent=1, ensure_ascii=False) + "\n"
            for name, (description, rows) in DASHBOARDS.items()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
