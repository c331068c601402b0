"""Debian's Prometheus: where it is, and one of its own for as long as a block runs."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[2]
for folder in ("clients", "dataset"):
    sys.path.insert(0, str(REPO / "tests" / "integration" / folder))

import gateway  # noqa: E402
import postgres  # noqa: E402

CHART = REPO / "helm" / "quarry"
METRICS_PAGE = REPO / "docs" / "metrics.md"
RULES = sorted((CHART / "rules").glob("*.yaml"))


def program(name):
    """From ./dev's own copy of Debian's package, else from the machine."""
    own = REPO / "build" / "prometheus" / "usr" / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        sys.exit(f"no {name}: ./dev test installs it into build/prometheus, or install Debian's package prometheus")
    return found


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path, **parameters):
        """The `data` of an answer; what is refused raises RuntimeError with Prometheus' own words."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{query}", timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path} {parameters}: {error.read().decode()}") from error

    def query(self, expression, at=None):
        return self.get("query", query=expression, **({} if at is None else {"time": at}))["result"]

    def query_range(self, expression, start, end, step):
        return self.get("query_range", query=expression, start=start, end=end, step=step)["result"]


@contextlib.contextmanager
def prometheus(folder, targets, job="quarry", rules=RULES, interval="1s"):
    """Scrapes `targets` (host:port) as `job` with these rules, until the block ends; yields its API."""
    folder.mkdir()
    port = postgres.free_port()
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": list(targets)}]}],
    }))
    with open(folder / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=1d", "--log.level=warn"],
            stdout=log, stderr=log, preexec_fn=gateway.die_with_parent, env={**os.environ, "GOMAXPROCS": "1"})
    try:
        yield _ready(server, Prometheus(port), folder / "log")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def _ready(server, api, log):
    def answers():
        if server.poll() is not None:
            sys.exit("Prometheus did not start:\n" + log.read_text(encoding="utf-8"))
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{api.address}/-/ready", timeout=5):
                return True
        return False

    gateway.wait_until("Prometheus is ready", answers)
    return api
