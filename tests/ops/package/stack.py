"""The services of examples/compose without containers: the same files and commands, on ports of this machine.

Only names of hosts and ports, and the folder of Prometheus' rules, are replaced, since here all services share one machine.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import compose

sys.path[:0] = [str(compose.REPO / "tests" / name) for name in ("integration/clients", "integration/dataset", "ops/prometheus")]

import gateway  # noqa: E402
import postgres  # noqa: E402
import prometheus  # noqa: E402
from gateway import wait_until  # noqa: E402

SHARDS = ("s0", "s1", "s2", "s3")
GATEWAYS = ("gateway-0", "gateway-1", "gateway-2")


def replaced(text, pairs):
    for old, new in pairs:
        if old not in text:
            raise AssertionError(f"\"{old}\" is not in the file any more; fix this test")
        text = text.replace(old, new)
    return text


class Stack(contextlib.ExitStack):
    """Everything that `docker compose up` starts but Grafana, in `folder`."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.project = compose.model()
        self.ports = {name: postgres.free_port() for shard in SHARDS for name in (shard, f"{shard}-replica")}
        self.grpc = {name: postgres.free_port() for name in GATEWAYS}
        self.http = {name: postgres.free_port() for name in GATEWAYS}
        self.front = {port: postgres.free_port() for port in (7400, 7480, 8404, 9090)}
        self.processes = {}

    def start(self):
        for shard in SHARDS:
            self._start_primary(shard)
        for shard in SHARDS:
            self._start_replica(shard)
        for name in SHARDS + tuple(f"{shard}-replica" for shard in SHARDS):
            wait_until(f"{name} accepts connections", lambda name=name: self._accepts(name))
        self._write_configurations()
        for name in GATEWAYS:
            self.start_gateway(name)
        self.run("prometheus", [prometheus.program("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
                                f"--storage.tsdb.path={self.folder / 'prometheus'}",
                                f"--web.listen-address=127.0.0.1:{self.front[9090]}"], env={**os.environ, "GOMAXPROCS": "1"})
        self.run("balancer", [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", self.folder / "haproxy.cfg"])

    def run(self, name, command, **options):
        """Starts a process that ends with this stack."""
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115: the process has it.
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log,
                                   preexec_fn=gateway.die_with_parent, **options)
        log.close()
        self.processes[name] = process
        self.callback(self._stop, process)
        return process

    @staticmethod
    def _stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # ---- Databases ----

    def _settings(self, service):
        return self.project["services"][service]["command"][1:]

    def _environment(self, service, **more):
        path = f"{postgres.programs()}:{os.environ['PATH']}"
        return {**self.project["services"][service]["environment"], "PATH": path, **more}

    def _own_folder(self, name):
        folder = self.folder / name
        folder.mkdir()
        account = postgres.unprivileged()
        if account:
            shutil.chown(folder, account["user"], account["group"])
        return folder

    def _start_primary(self, name):
        """What the entry point of the image does: a temporary server that only a socket reaches, then the real one."""
        folder, account = self._own_folder(name), postgres.unprivileged()
        env = self._environment(name, PGDATA=str(folder / "data"), PGHOST=str(folder), PGPORT=str(self.ports[name]))
        env["POSTGRES_USER"] = "postgres"
        password = folder / "password"
        password.write_text(env["POSTGRES_PASSWORD"] + "\n", encoding="utf-8")
        password.chmod(0o644)

        def do(*command):
            subprocess.run([str(word) for word in command], check=True, env=env, cwd=folder, stdout=subprocess.DEVNULL,
                           **account)

        do("initdb", "--username=postgres", f"--pwfile={password}", "--auth-local=trust", "--auth-host=scram-sha-256",
           "--locale=C.UTF-8", "--encoding=UTF8")
        settings = ["-p", str(self.ports[name]), "-k", str(folder), *self._settings(name)]
        do("pg_ctl", "--wait", f"--log={folder}/init.log", "--options", " ".join(["-h ''", *settings]), "start")
        psql = ["psql", "--set=ON_ERROR_STOP=1", "--quiet", "--no-psqlrc", "--username=postgres"]
        do(*psql, "--dbname=postgres", f"--command=CREATE DATABASE {env['POSTGRES_DB']}")
        for target, file in compose.files_of(self.project, name).items():
            if not target.startswith("/docker-entrypoint-initdb.d/"):
                raise AssertionError(f"{name} mounts {target}, which this test does not know")
            do(*([file] if target.endswith(".sh") else [*psql, f"--dbname={env['POSTGRES_DB']}", f"--file={file}"]))
        do("pg_ctl", "--wait", "--mode=fast", "stop")
        self.run(name, ["postgres", "-h", "127.0.0.1", *settings], env=env, cwd=folder, **account)

    def _start_replica(self, shard):
        name = f"{shard}-replica"
        folder = self._own_folder(name)
        service = self.project["services"][name]
        script = compose.files_of(self.project, name)[service["entrypoint"][1]]
        primary = replaced(service["environment"]["PRIMARY"],
                           [(f"host={shard}", f"host=127.0.0.1 port={self.ports[shard]}")])
        env = self._environment(name, PGDATA=str(folder / "data"), PRIMARY=primary)
        wait_until(f"{shard} accepts connections", lambda: self._accepts(shard))
        command = [service["entrypoint"][0], script, service["command"][0], "-h", "127.0.0.1", "-p", self.ports[name],
                   "-k", folder, *self._settings(name)]
        self.run(name, command, env=env, cwd=folder, **postgres.unprivileged())

    def must_run(self, name):
        code = self.processes[name].poll()
        if code is not None:
            log = (self.folder / f"{name}.log").read_text(encoding="utf-8")
            raise AssertionError(f"{name} ended with {code}:\n{log}")

    def _accepts(self, name):
        self.must_run(name)
        probe = [postgres.programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.ports[name])]
        return subprocess.run(probe, check=False).returncode == 0

    def ask(self, name, sql, user="postgres", secret="POSTGRES_PASSWORD"):
        """The rows of a statement on one server, as text."""
        env = {**os.environ, "PGPASSWORD": self.project["services"]["s0"]["environment"][secret]}
        done = subprocess.run(
            [postgres.programs() / "psql", "-h", "127.0.0.1", "-p", str(self.ports[name]), "-U", user, "-d", "shop",
             "-Atqc", sql], env=env, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{name}: {sql}: {done.stderr}")
        return done.stdout.strip()

    # ---- Gateways and balancer ----

    def _write_configurations(self):
        hosts = [(f"host={name} ", f"host=127.0.0.1 port={port} ") for name, port in self.ports.items()]
        peers = [(f"{name}:7400", f"127.0.0.1:{self.grpc[name]}") for name in GATEWAYS]
        gateways = compose.files_of(self.project, GATEWAYS[0])["/etc/quarry/quarry.yaml"]
        text = pathlib.Path(gateways).read_text(encoding="utf-8")
        (self.folder / "quarry.yaml").write_text(replaced(text, hosts + peers), encoding="utf-8")

        balancer = compose.files_of(self.project, "balancer")["/usr/local/etc/haproxy/haproxy.cfg"]
        servers = peers + [(f"{name}:7480", f"127.0.0.1:{self.http[name]}") for name in GATEWAYS]
        binds = [(f"bind :{port}", f"bind 127.0.0.1:{self.front[port]}") for port in (7400, 7480, 8404)]
        text = pathlib.Path(balancer).read_text(encoding="utf-8")
        (self.folder / "haproxy.cfg").write_text(replaced(text, servers + binds), encoding="utf-8")

        scrapes = compose.files_of(self.project, "prometheus")["/etc/prometheus/prometheus.yml"]
        rules = next(volume["source"] for volume in self.project["services"]["prometheus"]["volumes"]
                     if volume["target"] == "/etc/prometheus/rules")
        targets = [(f"{name}:7480", f"127.0.0.1:{self.http[name]}") for name in GATEWAYS]
        targets += [("balancer:8404", f"127.0.0.1:{self.front[8404]}"), ("/etc/prometheus/rules", rules)]
        text = pathlib.Path(scrapes).read_text(encoding="utf-8")
        (self.folder / "prometheus.yml").write_text(replaced(text, targets), encoding="utf-8")

    def start_gateway(self, name):
        data, ports = self.folder / f"{name}.data", self.folder / f"{name}.json"
        ports.unlink(missing_ok=True)
        env = {**os.environ, **self.project["services"][name]["environment"], "QUARRY_DATA_DIR": str(data),
               "QUARRY_LISTEN_GRPC": f"127.0.0.1:{self.grpc[name]}",
               "QUARRY_LISTEN_HTTP": f"127.0.0.1:{self.http[name]}"}
        process = self.run(name, [gateway.binary("QUARRYD"), "run", "--config", self.folder / "quarry.yaml",
                                  "--ports-file", ports], env=env)
        try:
            gateway.wait_until_ready(process, ports)
        except SystemExit as failure:
            log = (self.folder / f"{name}.log").read_text(encoding="utf-8")
            raise AssertionError(f"{name}: {failure}\n{log}") from failure

    def load_command(self, seconds):
        """The shell command of the service load, for a while and with no call that may fail, also where all are instrumented."""
        text = self.project["services"]["load"]["command"][0]
        text = replaced(text, [("balancer:7400", f"127.0.0.1:{self.front[7400]}"), ("24h", f"{seconds}s"),
                               ("--max-error-rate 1", "--max-error-rate 0"), ("--deadline 5s", "--deadline 30s")])
        return re.sub(r"\bquarry-load\b", gateway.binary("QUARRYLOAD"), text)
