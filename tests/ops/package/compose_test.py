"""examples/compose and the Dockerfile: each file is there and accepted by the program that reads it; nothing runs long."""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import unittest

import compose
from compose import FOLDER, REPO

HADOLINT = REPO / "build" / "hadolint" / "bin" / "hadolint"


def accepted(*command, env=None):
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode == 0, done.stdout + done.stderr


class ComposeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.project = compose.model()
        cls.services = cls.project["services"]
        text = (REPO / "CMakeLists.txt").read_text(encoding="utf-8")
        cls.version = re.search(r"project\(quarry VERSION (\S+)", text).group(1)

    def test_has_the_services_that_the_docs_promise(self):
        shards = [name for n in range(4) for name in (f"s{n}", f"s{n}-replica")]
        gateways = [f"gateway-{n}" for n in range(3)]
        self.assertEqual(sorted(self.services),
                         sorted([*shards, *gateways, "balancer", "prometheus", "grafana", "load"]))

    def test_every_file_that_is_mounted_is_there(self):
        mounted = [config["file"] for config in self.project["configs"].values()]
        mounted += [volume["source"] for service in self.services.values() for volume in service.get("volumes") or []
                    if volume["type"] == "bind"]
        self.assertGreater(len(mounted), 9)
        for path in mounted:
            self.assertTrue(pathlib.Path(path).exists(), path)
            self.assertTrue(os.stat(path).st_mode & stat.S_IROTH, f"{path}: other accounts cannot read it")
        # The entry point of the image would source a script that cannot be run, options and all.
        self.assertTrue(os.access(FOLDER / "postgres" / "primary.sh", os.X_OK))

    def test_images_are_pinned_and_ours_has_the_version_of_the_tree(self):
        for name, service in self.services.items():
            self.assertRegex(service["image"], r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", name)
        self.assertEqual(self.services["gateway-0"]["image"], f"quarry:{self.version}")
        self.assertIn(f"\nARG VERSION={self.version}\n", (REPO / "Dockerfile").read_text(encoding="utf-8"))

    def test_one_service_builds_our_image_and_no_other_pulls_it(self):
        ours = {name: service for name, service in self.services.items() if service["image"].startswith("quarry:")}
        self.assertEqual(sorted(ours), ["gateway-0", "gateway-1", "gateway-2", "load"])
        self.assertEqual([name for name, service in ours.items() if "build" in service], ["gateway-0"])
        for name, service in ours.items():
            self.assertTrue("build" in service or service["pull_policy"] == "never", name)

    def test_the_image_has_the_standard_labels_and_the_docs_name_their_arguments(self):
        dockerfile = (REPO / "Dockerfile").read_text(encoding="utf-8")
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', dockerfile))
        self.assertEqual(sorted(labels), ["created", "description", "licenses", "revision", "source", "title", "url", "version"])
        docs = (REPO / "docs" / "packages.md").read_text(encoding="utf-8")
        for label in ("created", "revision", "source", "url", "version"):
            argument = label.upper()
            self.assertEqual(labels[label], f"${{{argument}}}")
            self.assertRegex(dockerfile, rf"(?m)^ARG {argument}=\S+$")
            self.assertIn(f"`{argument}`", docs)

    def test_gateways_and_balancer_have_no_rights_and_a_root_that_cannot_be_written(self):
        for name in ("gateway-0", "gateway-1", "gateway-2", "balancer", "load"):
            service = self.services[name]
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)

    def test_ports_are_open_to_this_machine_only(self):
        for name, service in self.services.items():
            for port in service.get("ports") or []:
                self.assertEqual(port["host_ip"], "127.0.0.1", name)

    def test_quarryd_accepts_the_configuration(self):
        gateway = self.services["gateway-0"]
        file = compose.files_of(self.project, "gateway-0")["/etc/quarry/quarry.yaml"]
        good, said = accepted(os.environ["QUARRYD"], "config", "check", "--config", file, env=gateway["environment"])
        self.assertTrue(good, said)
        self.assertIn("4 shards", said)

    def test_haproxy_accepts_its_configuration(self):
        file = compose.files_of(self.project, "balancer")["/usr/local/etc/haproxy/haproxy.cfg"]
        good, said = accepted(shutil.which("haproxy") or "/usr/sbin/haproxy", "-c", "-f", file)
        self.assertTrue(good, said)

    def test_prometheus_accepts_its_configuration_and_the_rules(self):
        unpacked = REPO / "build" / "prometheus" / "usr" / "bin" / "promtool"  # ./dev puts it there.
        promtool = unpacked if unpacked.exists() else shutil.which("promtool")
        self.assertTrue(promtool, "there is no promtool: install the package prometheus")
        text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
        rules = next(volume["source"] for volume in self.services["prometheus"]["volumes"]
                     if volume["target"] == "/etc/prometheus/rules")
        here = REPO / "build" / "compose" / "prometheus.yml"
        here.write_text(text.replace("/etc/prometheus/rules", rules), encoding="utf-8")
        good, said = accepted(promtool, "check", "config", here)
        self.assertTrue(good, said)
        self.assertIn("rules found", said)

    def test_grafana_finds_dashboards_and_data_where_they_are_mounted(self):
        targets = {volume["target"] for volume in self.services["grafana"]["volumes"]}
        provider = (FOLDER / "grafana" / "dashboards" / "quarry.yaml").read_text(encoding="utf-8")
        self.assertIn(re.search(r"path: ([^}\s]+)", provider).group(1), targets)
        source = (FOLDER / "grafana" / "datasources" / "prometheus.yaml").read_text(encoding="utf-8")
        self.assertIn(re.search(r"url: http://([a-z]+):", source).group(1), self.services)
        dashboards = sorted((REPO / "helm" / "quarry" / "dashboards").glob("*.json"))
        self.assertTrue(dashboards)
        for path in dashboards:
            self.assertTrue(json.loads(path.read_text(encoding="utf-8"))["panels"], path)

    def test_every_host_in_the_files_is_a_service(self):
        for name in ("quarry.yaml", "haproxy.cfg", "prometheus.yml"):
            text = (FOLDER / name).read_text(encoding="utf-8")
            hosts = set(re.findall(r"host=([a-z0-9-]+)", text)) | set(re.findall(r"([a-z][a-z0-9-]+):\d{4}", text))
            self.assertTrue(hosts, name)
            self.assertLessEqual(hosts, set(self.services), name)

    def test_the_linter_of_dockerfiles_has_nothing_to_say(self):
        # DL3008: versions of packages are those of the pinned release; DL3006 cannot see the tag in an argument.
        good, said = accepted(HADOLINT, "--ignore", "DL3008", "--ignore", "DL3006", REPO / "Dockerfile")
        self.assertTrue(good, said)


if __name__ == "__main__":
    unittest.main()
