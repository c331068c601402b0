"""The real quarryd takes every configuration that the chart renders, and runs as its pods would run it; so does quarryctl of `helm test`."""

import contextlib
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import urllib.request

import chart

sys.path.insert(0, str(chart.REPO / "tests" / "integration" / "clients"))
import gateway

SECRETS = {"tokens": "0123456789abcdef0123456789abcdef", "pg-password": "secret", "pg1-password": "p%40ss",
           "pg1": "host=pg1.db dbname=shop user=quarry password=secret", "main": "host=main.db dbname=shop user=quarry password=secret"}
FROM_ELSEWHERE = {"HOT_CONNINFO": "host=hot.db dbname=shop user=quarry"}  # What extraEnvFrom brings.


def cpus(quantity):
    """What Kubernetes makes of a CPU quantity with the divisor 1."""
    return math.ceil(float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity))


def environment_of(container):
    env = dict(FROM_ELSEWHERE) if "envFrom" in container else {}
    for one in container["env"]:
        source = one.get("valueFrom", {})
        if "secretKeyRef" in source:
            env[one["name"]] = SECRETS[source["secretKeyRef"]["key"]]
        elif "resourceFieldRef" in source:
            section, resource = source["resourceFieldRef"]["resource"].split(".")
            env[one["name"]] = str(cpus(container["resources"][section][resource]))
        else:
            env[one["name"]] = one.get("value", "10.0.0.1")  # The only field reference is the pod's address.
    return env


class Pod:
    """A rendered gateway, with the folders of its container below `root`."""

    def __init__(self, rendered, root):
        found = chart.resources(rendered)
        self.container = chart.gateway_container(found)
        self.test = chart.only(found, "Pod")["spec"]["containers"][0]
        self.root = pathlib.Path(root)
        self.env = {name: self.moved(value) for name, value in environment_of(self.container).items()}
        for folder in ("etc/quarry/secrets", "var/lib/quarry"):
            (self.root / folder).mkdir(parents=True)
        for name, secret in SECRETS.items():
            (self.root / "etc/quarry/secrets" / name).write_text(secret + "\n")
        config = [one["data"]["quarry.yaml"] for one in found if one["kind"] == "ConfigMap" and "quarry.yaml" in one["data"]]
        if config:
            (self.root / "etc/quarry/quarry.yaml").write_text(self.moved(config[0]))

    def moved(self, text):
        return text.replace("/etc/quarry/", f"{self.root}/etc/quarry/").replace("/var/lib/quarry", f"{self.root}/var/lib/quarry")

    def arguments(self):
        return [self.moved(argument) for argument in self.container["args"]]

    def quarryd(self, *arguments):
        return subprocess.run([gateway.binary("QUARRYD"), *arguments], env={**os.environ, **self.env}, capture_output=True, text=True,
                              check=False)


@contextlib.contextmanager
def pod(case):
    with tempfile.TemporaryDirectory(prefix="quarry-pod-") as root:
        yield Pod(chart.render(case), root)


def docs_example(folder):
    """The render of docs/kubernetes.md's own quarry.yaml and values.yaml, with the command given there."""
    text = (chart.REPO / "docs" / "kubernetes.md").read_text()
    (folder / "quarry.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL).group(1))
    (folder / "values.yaml").write_text(re.search(r"<<'YAML'\n(.*?)^YAML", text, re.DOTALL | re.MULTILINE).group(1))
    command = re.search(r"^helm install (shop helm/quarry .*) --wait$", text, re.MULTILINE).group(1)
    arguments = command.replace("helm/quarry", str(chart.CHART)).replace("quarry.yaml", f"{folder}/quarry.yaml")
    return chart.helm("template", *arguments.replace(" values.yaml", f" {folder}/values.yaml").split(), "--kube-version", "1.33.0").stdout


class QuarrydTest(unittest.TestCase):
    def test_takes_every_configuration(self):
        for case in chart.CASES:
            if case == "quickstart":
                continue  # It brings its own.
            with self.subTest(case=case), pod(case) as one:
                command, flag, file = one.arguments()
                self.assertEqual((command, flag), ("run", "--config"))
                done = one.quarryd("config", "check", "--config", file)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("good", done.stdout)

    def test_takes_the_example_of_the_docs(self):
        with tempfile.TemporaryDirectory(prefix="quarry-docs-") as name:
            folder = pathlib.Path(name)
            one = Pod(docs_example(folder), folder / "pod")
            done = one.quarryd("config", "check", "--config", one.arguments()[2])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 shards, 1 resolvers, 1 tables: good", done.stdout)

    def test_settings_of_the_surroundings_arrive(self):
        with pod("autoscaling") as one:
            printed = one.quarryd("config", "print", "--config", one.arguments()[2]).stdout
        for line in ("loops: 4", 'dns: "shop-quarry-peers.shop.svc:7400"', 'grpc: "0.0.0.0:7400"', "format: json"):
            self.assertIn(line, printed)

    def test_refuses_a_configuration_that_the_chart_cannot_judge(self):
        with pod("sqlite") as one:
            file = one.root / "etc/quarry/quarry.yaml"
            file.write_text(file.read_text() + "tabels: {}\n")
            done = one.quarryd(*one.arguments())
        self.assertEqual(done.returncode, 2)
        self.assertIn("quarry.yaml:5:1 tabels: unknown key", done.stderr)

    def test_serves_what_probes_and_the_test_ask(self):
        for case in ("sqlite", "quickstart"):
            with self.subTest(case=case), pod(case) as one, unittest.mock.patch.dict(os.environ, one.env):
                with gateway.quarryd(one.root, *one.arguments()[1:]) as (_, ports):
                    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                        url = f"http://127.0.0.1:{ports['http']}{one.container[probe]['httpGet']['path']}"
                        with urllib.request.urlopen(url, timeout=5) as reply:
                            self.assertEqual(reply.status, 200)
                    self.assert_test_passes(one, ports["grpc"])
                self.assertTrue((one.root / "var/lib/quarry" / "s0.db").exists())

    def assert_test_passes(self, one, port):
        self.assertEqual(one.test["command"], ["quarryctl"])
        arguments = [f"127.0.0.1:{port}" if ":" in argument else argument for argument in one.test["args"]]
        done = subprocess.run([gateway.binary("QUARRYCTL"), *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
