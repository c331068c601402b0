"""The committed dashboards, read as Grafana reads them: panels, queries, variables."""

import hashlib
import json
import re

from prometheus import CHART, REPO

FOLDER = CHART / "dashboards"
DRAWN = REPO / "docs" / "dashboards" / "drawn.sha256"  # Of which files pictures.py has made the pictures beside it.
VALUES_OF = re.compile(r"label_values\((.+), (\w+)\)$")


def load():
    """Each dashboard by its name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def checksums():
    """The committed files as sha256sum tells them."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(FOLDER.glob("*.json")))


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(panel):
    return [target["expr"] for target in panel.get("targets", [])]


def fill(expression, values, rate_interval):
    """What Grafana sends for an expression: `values` are those that are chosen of each variable, or its expression for all of them."""
    expression = expression.replace("$__rate_interval", rate_interval)
    for name, chosen in values.items():
        if not isinstance(chosen, str):
            chosen = "(" + "|".join(re.escape(one).replace("\\", "\\\\") for one in chosen) + ")"
        expression = expression.replace(f'"${name}"', f'"{chosen}"')
    return expression


def variable_values(api, dashboard, rate_interval="10s"):
    """Each variable's values, asked for in their order as Grafana does."""
    values = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        match, label = VALUES_OF.match(variable["definition"]).groups()
        found = api.get(f"label/{label}/values", **{"match[]": fill(match, values, rate_interval)})
        values[variable["name"]] = variable["allValue"] or found
    return values
