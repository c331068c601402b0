"""The dashboards as files: they are what their generator makes, and whole. live_test.py asks their queries of a real Prometheus."""

import json
import re
import sys
import unittest

import dashboards

sys.path.insert(0, str(dashboards.FOLDER))

import generate  # noqa: E402


class Dashboards(unittest.TestCase):
    def each_panel(self):
        for name, dashboard in dashboards.load().items():
            for panel in dashboards.panels(dashboard):
                with self.subTest(f"{name}: {panel['title']}"):
                    yield dashboard, panel

    def test_the_files_are_what_the_generator_makes(self):
        made = generate.files()
        self.assertEqual(sorted(made), sorted(dashboards.FOLDER.glob("*.json")))
        for path, text in made.items():
            self.assertEqual(path.read_text(encoding="utf-8"), text, f"{path.name} is not that of generate.py: run it")

    def test_the_pictures_are_of_these_dashboards(self):
        self.assertEqual(dashboards.DRAWN.read_text(encoding="utf-8"), dashboards.checksums(), "draw them anew: pictures.py")

    def test_each_is_found_by_its_name_and_has_its_variables(self):
        loaded = dashboards.load()
        self.assertEqual(set(loaded), {"overview", "shards", "queries", "transactions", "gateways"})
        for name, dashboard in loaded.items():
            self.assertEqual((dashboard["uid"], dashboard["tags"]), (f"quarry-{name}", ["quarry"]))
            declared = [variable["name"] for variable in dashboard["templating"]["list"]]
            self.assertEqual(declared[:4], ["datasource", "deployment", "namespace", "job"])
            used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps([dashboard["panels"], dashboard["templating"]])))
            self.assertEqual(used - {"datasource"}, set(declared) - {"datasource"}, name)

    def test_each_panel_says_what_it_means_in_which_unit(self):
        for _, panel in self.each_panel():
            if panel["type"] == "text":
                continue
            self.assertTrue(panel["title"])
            self.assertRegex(panel["description"], r"\.$")
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"})
            self.assertTrue(dashboards.queries(panel))
            if panel["type"] in ("stat", "timeseries"):
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
            for expression in dashboards.queries(panel):
                self.assertRegex(expression, r'namespace=~"\$namespace", job=~"\$job"', "it would mix up deployments")

    def test_links_lead_to_dashboards_that_exist(self):
        loaded = dashboards.load()
        for _, panel in self.each_panel():
            for link in panel.get("links", []):
                self.assertIn(re.match(r"/d/quarry-(\w+)\?", link["url"]).group(1), loaded)

    def test_no_two_panels_overlap_and_none_leaves_the_page(self):
        for name, dashboard in dashboards.load().items():
            taken = set()
            for panel in dashboard["panels"]:
                place = panel["gridPos"]
                cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
                self.assertLessEqual(place["x"] + place["w"], 24)
                self.assertFalse(taken & cells, f"{name}: {panel['title']}")
                taken |= cells
            self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
