#!/usr/bin/env python3
"""Records a real cluster through load and trouble, and draws the dashboards from what Prometheus has: docs/dashboards/*.png.

    QUARRYD=… QUARRYCTL=… LOAD_PROGRAM=… tests/ops/prometheus/pictures.py [--minutes 6]

It takes its minutes, and matplotlib into build/venv. The shard s2 is dead for 40 seconds, a gateway for 20, the pool of s0 is crowded,
transactions and locks are held, a lock is lost.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import cluster
import dashboards
import prometheus
from prometheus import gateway

PICTURES = dashboards.DRAWN.parent
SCRAPE, RATE_INTERVAL = "2s", "16s"


def until(moment):
    gateway.wait_until("the next part of the recording", lambda: time.time() >= moment, 600)


def commits(target, seconds):
    """So many commits over two shards at a time that what dies now dies within some of them."""
    return cluster.quarry_load("run", target, "--op", "commit_across", "--concurrency", "24", "--duration", f"{seconds}s", "--max-error-rate", "1",
                               "--deadline", "5s")


def record(watched, minutes):
    """Trouble at parts of the whole, so that each is seen apart; gives start and end."""
    start, whole = time.time(), minutes * 60
    with cluster.Traffic(watched, rate=60, commits=25) as traffic:
        until(start + whole * 0.12)
        held = [cluster.quarryctl(traffic.here, "--timeout", "300s", "lock", "run", f"nightly {number % 2}", "--ttl", "5s", "--", "sleep",
                                  str(int(whole * 0.12))) for number in range(4)]
        begun = [traffic.here.call("TransactionService/Begin", idleTimeout="60s") for _ in range(5)]
        until(start + whole * 0.2)
        burst = cluster.quarry_load("run", traffic.there, "--op", "get:80", "--op", "update:20", "--rate", "250", "--duration",
                                    f"{int(whole * 0.15)}s", "--max-error-rate", "1")
        until(start + whole * 0.4)
        for one in begun:
            traffic.here.call("TransactionService/Rollback", transactionId=one["transactionId"])
        crowd = [commits(traffic.here, 8)]
        until(start + whole * 0.4 + 5)
        watched.servers[1].stop()
        until(start + whole * 0.4 + 45)
        watched.servers[1].start()
        until(start + whole * 0.6)
        crowd.append(commits(traffic.there, 8))
        until(start + whole * 0.6 + 5)
        traffic.there.kill()
        until(start + whole * 0.6 + 25)
        traffic.there.start()
        until(start + whole * 0.76)
        crowd += [one for _ in range(4) for one in cluster.crowd(traffic.there, "s0", statements=12, seconds=5)]
        until(start + whole * 0.9)
        cluster.lose_a_lock(traffic.here)
        until(start + whole)
        for process in [burst, *crowd, *held]:
            process.wait(timeout=120)
        return start, time.time()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=6)
    arguments = parser.parse_args()
    python = gateway.python_with(["matplotlib", "PIL"], ["matplotlib==3.10.8"])
    if pathlib.Path(sys.prefix) != pathlib.Path(python).parents[1]:
        sys.exit(subprocess.run([python, *sys.argv]).returncode)
    import draw  # Only the interpreter of build/venv has what it needs.

    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-pictures-")))
        folder.chmod(0o755)
        watched = stack.enter_context(cluster.cluster(folder))
        api = stack.enter_context(prometheus.prometheus(folder / "prometheus", watched.targets(), interval=SCRAPE))
        start, end = record(watched, arguments.minutes)
        PICTURES.mkdir(exist_ok=True)
        for name, dashboard in dashboards.load().items():
            draw.draw(api, dashboard, PICTURES / f"{name}.png", start + 30, end, RATE_INTERVAL)
            print(f"docs/dashboards/{name}.png: {os.path.getsize(PICTURES / f'{name}.png') // 1024} KiB")
        dashboards.DRAWN.write_text(dashboards.checksums(), encoding="utf-8")


if __name__ == "__main__":
    main()
