"""values.yaml, its schema, its table in the README and the checks of the templates say the same; bad values are refused with what to do."""

import json
import re
import subprocess
import tempfile
import unittest

import chart
import yaml


def keys_of_values(values, schema, path=()):
    """Paths of values.yaml down to where the schema leaves the rest to Kubernetes."""
    for key, value in values.items():
        inner = schema.get("properties", {}).get(key, {})
        yield ".".join((*path, key))
        if isinstance(value, dict) and "properties" in inner:
            yield from keys_of_values(value, inner, (*path, key))


def keys_of_schema(schema, path=()):
    for key, inner in schema.get("properties", {}).items():
        yield ".".join((*path, key))
        yield from keys_of_schema(inner, (*path, key))


class ValuesTest(unittest.TestCase):
    def test_lint_finds_nothing_in_any_case(self):
        for case in chart.CASES:
            for kubernetes in chart.KUBERNETES:
                with self.subTest(case=case, kubernetes=kubernetes):
                    done = chart.helm("lint", "--strict", chart.CHART, "--kube-version", kubernetes, "--values",
                                      chart.values_of(case))
                    self.assertIn("1 chart(s) linted, 0 chart(s) failed", done.stdout)
                    self.assertNotIn("Fail:", done.stdout + done.stderr)

    def test_bad_values_are_refused_with_what_to_do(self):
        bad = yaml.safe_load((chart.HERE / "bad_values.yaml").read_text())
        self.assertGreater(len(bad), 30)
        for name, one in bad.items():
            with self.subTest(bad=name), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                yaml.safe_dump(one["values"], file)
                file.flush()
                done = chart.helm("template", "shop", chart.CHART, "--kube-version", "1.33.0", "--values", file.name, check=False)
                self.assertNotEqual(done.returncode, 0, "was accepted")
                self.assertIn(one["says"], done.stderr)

    def test_the_secret_of_tokens_may_come_as_a_variable(self):
        config = "shards: {a: {postgres: {primary: host=a}}}"
        source = {"secretKeyRef": {"name": "s", "key": "tokens"}}
        for given in ({"existingSecret": {"name": "s", "env": {"QUARRY_TOKENS_SECRET": "tokens"}}},
                      {"extraEnv": [{"name": "QUARRY_TOKENS_SECRET", "valueFrom": source}]}):
            with self.subTest(given):
                variables = {one["name"]: one for one in self.two_gateways(config, given)["env"]}
                self.assertEqual(variables["QUARRY_TOKENS_SECRET"]["valueFrom"], source)
        whole = [{"secretRef": {"name": "s"}}]  # What it holds is known to nobody here.
        self.assertEqual(self.two_gateways(config, {"extraEnvFrom": whole})["envFrom"], whole)

    def two_gateways(self, config, given):
        """The container of each."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"config": config, "replicas": 2, **given}, file)
            file.flush()
            text = chart.helm("template", "shop", chart.CHART, "--kube-version", "1.33.0", "--values", file.name).stdout
            return chart.gateway_container(chart.resources(text))

    def test_every_refusal_of_the_templates_is_tried(self):
        said = [one["says"] for one in yaml.safe_load((chart.HERE / "bad_values.yaml").read_text()).values()]
        checks = (chart.CHART / "templates" / "_checks.tpl").read_text()
        refusals = re.findall(r'{{- fail (?:\(printf )?"((?:[^"\\]|\\.)*)"', checks)
        self.assertEqual(len(refusals), checks.count("{{- fail "))
        for refusal in refusals:
            pattern = re.compile(re.sub(r"%[sd]", ".*", re.escape(refusal.replace('\\"', '"'))))
            with self.subTest(refusal=refusal):
                self.assertTrue(any(pattern.search(says) for says in said), "no bad value of bad_values.yaml meets it")

    def test_the_package_renders_as_the_folder(self):
        with chart.copied_chart() as copy:
            chart.helm("package", copy, "--destination", copy.parent)
            package = next(copy.parent.glob("quarry-*.tgz"))
            self.assertEqual(chart.render("full", package), chart.render("full", copy))

    def test_an_old_kubernetes_is_refused(self):
        done = chart.helm("template", "shop", chart.CHART, "--set", "quickstart=true", "--kube-version", "1.29.9", check=False)
        self.assertIn("chart requires kubeVersion: >=1.30.0-0", done.stderr)

    def test_the_schema_has_the_values_and_no_others(self):
        schema = json.loads((chart.CHART / "values.schema.json").read_text())
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        # `global` is Helm's; `claims` of resources has no default.
        extra = {"global", "resources.claims"}
        wanted = set(keys_of_schema(schema)) - extra
        depth = {key for key in keys_of_values(values, schema)}
        self.assertEqual(wanted - depth - {"updateStrategy.rollingUpdate"}, set(), "in the schema and not in values.yaml")
        self.assertEqual(depth - wanted, set(), "in values.yaml and not in the schema")

    def test_the_schema_is_strict_wherever_it_names_keys(self):
        def visit(node, path):
            if isinstance(node, dict):
                if "properties" in node and "items" not in path[-2:]:
                    self.assertIs(node.get("additionalProperties"), False, "/".join(path))
                for key, inner in node.items():
                    visit(inner, (*path, key))

        visit(json.loads((chart.CHART / "values.schema.json").read_text()), ())

    def test_the_readme_has_the_table_of_the_values(self):
        done = subprocess.run([chart.tool("helm-docs"), "--chart-search-root", "helm", "--dry-run", "--sort-values-order", "file"],
                              cwd=chart.REPO, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((chart.CHART / "README.md").read_text().strip(), done.stdout.strip(),
                         "helm/quarry/README.md is not what values.yaml and README.md.gotmpl give: "
                         "build/tools/helm-docs --chart-search-root helm --sort-values-order file")
        self.assertNotRegex(done.stdout, r"\|\s*\|\n", "a value without a `# --` comment in values.yaml")

    def test_versions_are_the_projects(self):
        version = re.search(r"project\(quarry VERSION (\S+)", (chart.REPO / "CMakeLists.txt").read_text()).group(1)
        about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
        self.assertEqual(about["appVersion"], version)


if __name__ == "__main__":
    unittest.main()
