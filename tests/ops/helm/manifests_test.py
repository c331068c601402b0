"""What is rendered fits Kubernetes' own schemas and the Prometheus operator's, and keeps the rules that no schema knows."""

import functools
import json
import subprocess
import unittest

import chart
import cluster
import jsonschema
import kubernetes_validate
import yaml
from quarryd_test import gateway

CRDS = chart.REPO / "build" / "tools" / "crds"


@functools.cache
def drain():
    """Seconds that quarryd drains where its configuration says nothing; the chart counts on them."""
    packaged = chart.REPO / "packaging" / "quarry.yaml"
    printed = subprocess.run([gateway.binary("QUARRYD"), "config", "print", "--config", packaged], text=True, stdout=subprocess.PIPE, check=True)
    return int(yaml.safe_load(printed.stdout)["drain_timeout"].removesuffix("s"))


def strict(schema):
    """The schema with unknown keys refused, as the API server's strict field validation does."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if isinstance(schema.get("pattern"), str):
            schema["pattern"] = schema["pattern"].replace("^(?i)", "(?i)^")  # Go's form, for Python.
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    return schema


@functools.cache
def operator_schema(kind):
    crd = yaml.safe_load((CRDS / f"monitoring.coreos.com_{kind.lower()}s.yaml").read_text())
    schema = strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def validate(resource, kubernetes):
    if resource["apiVersion"] == "monitoring.coreos.com/v1":
        jsonschema.validate(resource, operator_schema(resource["kind"]))
    else:
        kubernetes_validate.validate(resource, kubernetes, strict=True)


def pods_of(found):
    """The specs of all pods that would run."""
    for resource in found:
        if resource["kind"] == "Pod":
            yield resource["spec"]
        elif resource["kind"] in ("Deployment", "StatefulSet"):
            yield resource["spec"]["template"]["spec"]


@functools.cache
def rendered(case, kubernetes=chart.KUBERNETES[-1]):
    with chart.copied_chart() as copy:
        return chart.resources(chart.render(case, copy, kubernetes))


class EveryCase(unittest.TestCase):
    """Rules that hold in all cases."""

    def of_each(self, rule, kubernetes=chart.KUBERNETES[-1]):
        for case in chart.CASES:
            with self.subTest(case=case, kubernetes=kubernetes):
                rule(rendered(case, kubernetes))

    def test_fits_the_schemas_of_each_kubernetes(self):
        for kubernetes in chart.KUBERNETES:
            self.of_each(lambda found, version=kubernetes: [validate(resource, version) for resource in found], kubernetes)
        kinds = {resource["kind"] for case in chart.CASES for resource in rendered(case)}
        self.assertEqual(kinds, {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "Pod", "PodDisruptionBudget",
                                 "PrometheusRule", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet"})

    def test_the_schemas_refuse_what_is_wrong(self):
        for resource in rendered("full") + rendered("sqlite") + rendered("autoscaling"):
            with self.subTest(kind=resource["kind"]), self.assertRaises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
                validate({**resource, "sepc": {}}, chart.KUBERNETES[-1])

    def test_pods_are_restricted(self):
        self.of_each(lambda found: [self.assert_restricted(spec) for spec in pods_of(found)])

    def assert_restricted(self, spec):
        self.assertIs(spec["automountServiceAccountToken"], False)
        self.assertIs(spec["enableServiceLinks"], False)
        self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertNotEqual(spec["securityContext"].get("runAsUser"), 0)
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            self.assertNotIn(key, spec)
        for container in spec["containers"] + spec.get("initContainers", []):
            security = container["securityContext"]
            self.assertIs(security["allowPrivilegeEscalation"], False)
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
            self.assertIs(security["runAsNonRoot"], True)
            self.assertIs(security["readOnlyRootFilesystem"], container["name"] != "logs")  # As full.yaml asks.

    def test_gateways_are_probed_and_pause_before_they_drain(self):
        self.of_each(self.assert_probed)

    def assert_probed(self, found):
        container = chart.gateway_container(found)
        self.assertEqual([container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")],
                         [{"path": path, "port": "http"} for path in ("/livez", "/livez", "/readyz")])
        self.assertEqual({port["name"]: port["containerPort"] for port in container["ports"]}, {"grpc": 7400, "http": 7480})
        self.assertGreater(container["lifecycle"]["preStop"]["sleep"]["seconds"], 0)

    def test_services_lead_to_the_gateways_and_nothing_else(self):
        self.of_each(self.assert_services)

    def assert_services(self, found):
        labels = chart.workload(found)["spec"]["template"]["metadata"]["labels"]
        test = chart.only(found, "Pod")["metadata"]["labels"]
        for service in (one["spec"] for one in found if one["kind"] == "Service"):
            self.assertLessEqual(service["selector"].items(), labels.items())
            self.assertFalse(service["selector"].items() <= test.items(), "the test's pod would get calls")

    def test_names_are_short_enough(self):
        values = ("--set", "quickstart=true", "--kube-version", chart.KUBERNETES[-1])
        found = chart.resources(chart.helm("template", "x" * 53, chart.CHART, *values).stdout)
        for resource in found:
            self.assertLessEqual(len(resource["metadata"]["name"]), 63)


class OneCase(unittest.TestCase):
    """What single values do."""

    def environment(self, case):
        return {one["name"]: one for one in chart.gateway_container(rendered(case))["env"]}

    def test_postgres_makes_a_deployment_whose_gateways_know_each_other(self):
        found = rendered("postgres")
        self.assertEqual(chart.only(found, "Deployment")["spec"]["replicas"], 2)
        peers = chart.only(found, "Service", "shop-quarry-peers")["spec"]
        self.assertEqual((peers["clusterIP"], peers["publishNotReadyAddresses"]), ("None", True))
        headless = chart.only(found, "Service", "shop-quarry-headless")["spec"]
        self.assertEqual(headless["clusterIP"], "None")
        self.assertNotIn("publishNotReadyAddresses", headless)
        self.assertEqual(self.environment("postgres")["QUARRY_PEERS_DNS"]["value"], "shop-quarry-peers.shop.svc:7400")

    def test_gateways_know_each_other_unless_config_says_whom_they_know(self):
        # `peers` of the one has an interval alone, of the other addresses.
        self.assertEqual(self.environment("full")["QUARRY_PEERS_DNS"]["value"], "shop-gateway-peers.shop.svc:7400")
        self.assertNotIn("QUARRY_PEERS_DNS", self.environment("openshift"))

    def test_sqlite_makes_one_process_with_a_volume(self):
        for case in ("sqlite", "sqlite-existing-claim", "quickstart"):
            found = rendered(case)
            self.assertEqual(chart.only(found, "StatefulSet")["spec"]["replicas"], 1)
            self.assertNotIn("QUARRY_PEERS_DNS", self.environment(case))
            self.assertIn({"name": "data", "mountPath": "/var/lib/quarry"}, chart.gateway_container(found)["volumeMounts"])
        claim = chart.only(rendered("sqlite"), "StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"]
        self.assertEqual(claim, {"accessModes": ["ReadWriteOncePod"], "storageClassName": "fast",
                                 "resources": {"requests": {"storage": "20Gi"}}})
        existing = chart.only(rendered("sqlite-existing-claim"), "StatefulSet")["spec"]
        self.assertNotIn("volumeClaimTemplates", existing)
        self.assertIn({"name": "data", "persistentVolumeClaim": {"claimName": "shop-data"}}, existing["template"]["spec"]["volumes"])

    def test_the_configuration_is_served_to_the_byte(self):
        for case in chart.CASES:
            wanted = yaml.safe_load(chart.values_of(case).read_text()).get("config")
            if wanted is not None:
                name = "gateway" if case == "openshift" else "shop-gateway" if case == "full" else "shop-quarry"
                self.assertEqual(chart.only(rendered(case), "ConfigMap", name)["data"], {"quarry.yaml": wanted})

    def test_a_changed_configuration_changes_the_pods(self):
        def checksum(*options):
            text = chart.helm("template", "shop", chart.CHART, "--kube-version", "1.33.0", "--values", chart.values_of("sqlite"), *options)
            return chart.workload(chart.resources(text.stdout))["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

        self.assertEqual(checksum(), checksum("--set", "preStopSeconds=20"))
        self.assertNotEqual(checksum(), checksum("--set-file", f"config={chart.REPO}/examples/config/sqlite-quickstart.yaml"))

    def test_loops_follow_the_cpu_limit_then_the_request_unless_config_says(self):
        def source(case):
            return self.environment(case)["QUARRY_LOOPS"]["valueFrom"]["resourceFieldRef"]

        self.assertEqual(source("autoscaling"), {"containerName": "quarryd", "resource": "limits.cpu", "divisor": "1"})
        self.assertEqual(source("postgres"), {"containerName": "quarryd", "resource": "requests.cpu", "divisor": "1"})
        self.assertNotIn("QUARRY_LOOPS", self.environment("openshift"))

    def test_grace_covers_the_pause_and_the_drain(self):
        def grace(case):
            return chart.workload(rendered(case))["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

        self.assertEqual({case: grace(case) for case in ("postgres", "sqlite", "full", "openshift")},
                         {"postgres": 10 + drain() + 10, "sqlite": 10 + 5 + 10, "full": 15 + drain() + 10, "openshift": 120})

    def test_the_autoscaler_owns_the_number_of_gateways(self):
        found = rendered("autoscaling")
        self.assertNotIn("replicas", chart.only(found, "Deployment")["spec"])
        scaler = chart.only(found, "HorizontalPodAutoscaler")["spec"]
        self.assertEqual(scaler["scaleTargetRef"]["name"], chart.only(found, "Deployment")["metadata"]["name"])
        self.assertEqual(scaler["metrics"][0]["containerResource"]["container"], chart.gateway_container(found)["name"])
        self.assertEqual(chart.only(found, "PodDisruptionBudget")["spec"]["minAvailable"], "50%")

    def test_an_upgrade_keeps_the_number_of_gateways_that_the_autoscaler_chose(self):
        running = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop-quarry", "namespace": "shop"}}
        for deployments, wanted in (([{**running, "spec": {"replicas": 7}}], 7), ([], None)):
            with cluster.with_deployments(deployments) as address:
                text = chart.render("autoscaling", more=("--dry-run=server", "--kube-apiserver", address))
            self.assertEqual(chart.only(chart.resources(text), "Deployment")["spec"].get("replicas"), wanted)

    def test_a_spread_keeps_its_own_selector_and_gets_one_where_it_has_none(self):
        mine = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"team": "shop"}}}
        text = chart.render("postgres", more=("--set-json", f"topologySpreadConstraints={json.dumps([mine, {'topologyKey': 'host'}])}"))
        workload = chart.workload(chart.resources(text))["spec"]
        first, second = workload["template"]["spec"]["topologySpreadConstraints"]
        self.assertEqual(first, mine)
        self.assertEqual(second["labelSelector"], workload["selector"])

    def test_prometheus_scrapes_each_gateway_once(self):
        found = rendered("full")
        monitor = chart.only(found, "ServiceMonitor")["spec"]
        wanted = monitor["selector"]["matchLabels"].items()
        selected = [one for one in found if one["kind"] == "Service" and wanted <= one["metadata"]["labels"].items()]
        self.assertEqual([one["metadata"]["name"] for one in selected], ["shop-gateway"])
        self.assertIn(monitor["endpoints"][0]["port"], [port["name"] for port in selected[0]["spec"]["ports"]])

    def test_the_network_lets_in_clients_gateways_prometheus_and_the_test(self):
        found = rendered("networkpolicy")
        rules = chart.only(found, "NetworkPolicy")["spec"]
        self.assertEqual(rules["policyTypes"], ["Ingress", "Egress"])
        clients, own, prometheus = rules["ingress"]
        self.assertEqual([peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in clients["from"] + prometheus["from"]],
                         ["shop", "monitoring"])
        for peer, pod in zip(own["from"], (chart.workload(found)["spec"]["template"], chart.only(found, "Pod")), strict=True):
            self.assertLessEqual(peer["podSelector"]["matchLabels"].items(), pod["metadata"]["labels"].items())
        self.assertEqual(rules["egress"][-1]["ports"], [{"port": 5432}])


class RulesAndDashboards(unittest.TestCase):
    def test_those_of_the_chart_are_all_rendered(self):
        found = chart.resources(chart.render("full"))
        groups = [group for path in sorted((chart.CHART / "rules").glob("*.yaml"))
                  for group in yaml.safe_load(path.read_text())["groups"]]
        rendered = [group for one in found if one["kind"] == "PrometheusRule" for group in one["spec"]["groups"]]
        self.assertEqual([group["name"] for group in rendered], [group["name"] for group in groups])
        base = "https://wiki.example.com/quarry/"  # Of values/full.yaml.
        for group, shipped in zip(rendered, groups, strict=True):
            for rule in shipped["rules"]:
                if "alert" in rule:
                    rule["annotations"]["runbook_url"] = base + rule["annotations"]["runbook_url"]
            self.assertEqual(group, shipped)
        dashboards = {path.name: path.read_text() for path in (chart.CHART / "dashboards").glob("*.json")}
        maps = [one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["labels"].get("grafana_dashboard") == "1"]
        self.assertEqual({name: text for one in maps for name, text in one["data"].items()}, dashboards)
        for resource in found:
            validate(resource, chart.KUBERNETES[-1])

    def test_braces_of_prometheus_and_grafana_stay(self):
        found = rendered("full")
        self.assertEqual(chart.only(found, "PrometheusRule")["spec"]["groups"][1]["rules"][0]["annotations"]["summary"],
                         "Shard {{ $labels.shard }} is down")
        dashboard = chart.only(found, "ConfigMap", "shop-gateway-dashboard-overview")
        self.assertEqual(json.loads(dashboard["data"]["overview.json"])["panels"][0]["title"], "{{shard}}")
        self.assertEqual(dashboard["metadata"]["annotations"], {"grafana_folder": "Quarry"})

    def test_a_file_that_has_no_rules_is_named(self):
        with chart.copied_chart() as copy:
            (copy / "rules" / "broken.yaml").write_text("rules: []\n")
            done = chart.helm("template", "shop", copy, "--kube-version", "1.33.0", "--values", chart.values_of("full"), check=False)
        self.assertIn("rules/broken.yaml is no file of rules: it has no list `groups`", done.stderr)

    def test_the_notes_say_that_alerts_do_not_say_where_their_runbooks_are(self):
        with chart.copied_chart() as copy:
            empty = ("--set", "prometheusRule.runbookBase=")
            self.assertIn("WARNING: prometheusRule.runbookBase is empty", notes(copy, "full", empty))
            self.assertNotIn("runbookBase", notes(copy, "full"))

    def test_without_files_nothing_is_rendered_and_the_notes_say_so(self):
        with chart.copied_chart(rules=None, dashboards=None) as copy:
            found = chart.resources(chart.render("full", copy))
            self.assertEqual([one for one in found if one["kind"] == "PrometheusRule"], [])
            self.assertIn("no rules/*.yaml", notes(copy, "full"))


def notes(copy, case, more=()):
    """NOTES.txt of a case. `helm template` does not print it, so the copy of the chart renders it as a resource."""
    (copy / "notes.txt").write_text((copy / "templates" / "NOTES.txt").read_text())
    (copy / "templates" / "notes.yaml").write_text('kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n')
    return chart.only(chart.resources(chart.render(case, copy, more=more)), "Notes")["text"]


class NotesTest(unittest.TestCase):
    def test_they_name_what_is_there(self):
        for case in chart.CASES:
            with self.subTest(case=case), chart.copied_chart() as copy:
                found = chart.resources(chart.render(case, copy))
                workload = chart.workload(found)
                text = notes(copy, case)
                self.assertIn(f"rollout status {workload['kind'].lower()}/{workload['metadata']['name']}\n", text)
                service = chart.only(found, "Service", workload["metadata"]["name"])
                self.assertIn(f"{service['metadata']['name']}.shop.svc:{service['spec']['ports'][0]['port']} ", text)
                self.assertEqual(service["spec"]["type"] == "LoadBalancer", "neither TLS nor access rights" in text)
                monitored = any(one["kind"] == "ServiceMonitor" for one in found)
                walls = [one["spec"]["ingress"] for one in found if one["kind"] == "NetworkPolicy"]
                self.assertEqual(monitored and [len(ingress) for ingress in walls] == [2], "cannot scrape" in text)


if __name__ == "__main__":
    unittest.main()
