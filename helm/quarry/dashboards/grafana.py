"""How Grafana's JSON (schema of Grafana 10, 11 and 12) spells a dashboard: its panels, their places, its variables."""

import json

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
GREEN, ORANGE, RED = "green", "orange", "red"


def steps(levels):
    """Green up to the first level, then each level's own colour."""
    return {"mode": "absolute", "steps": [{"color": GREEN, "value": None},
                                          *({"color": color, "value": value} for value, color in levels)]}


def targets(queries, instant=False):
    return [{"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend,
             "range": not instant, "instant": instant, **({"format": "table"} if legend == "" else {})}
            for number, (expression, legend) in enumerate(queries)]


def panel(kind, title, description, queries, width, height, defaults, options, instant=False, link=None):
    made = {"type": kind, "title": title, "description": description, "datasource": SOURCE,
            "gridPos": {"w": width, "h": height}, "targets": targets(queries, instant),
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options}
    if link:
        made["links"] = [{"title": f"Quarry / {link}", "url": f"/d/quarry-{link}?${{__url_time_range}}&${{__all_variables}}"}]
    return made


def stat(title, description, unit, query, levels=(), width=4, link=None):
    """One number: now. It turns orange or red by `levels`."""
    return panel("stat", title, description, [(query, title)], width, 4,
                 {"unit": unit, "noValue": "–", "thresholds": steps(levels)},
                 {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                  "graphMode": "area", "textMode": "value", "justifyMode": "auto"}, link=link)


def lines(title, description, unit, *queries, levels=(), stack=False, width=8, link=None):
    """Lines over time from 0 up; `levels` are drawn as dashed lines."""
    style = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stack else 8, "showPoints": "never", "spanNulls": False,
             "stacking": {"mode": "normal" if stack else "none", "group": "A"},
             "thresholdsStyle": {"mode": "dashed" if levels else "off"}}
    return panel("timeseries", title, description, queries, width, 8,
                 {"unit": unit, "min": 0, "custom": style, "thresholds": steps(levels)},
                 {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True,
                             "sortBy": "Max", "sortDesc": True},
                  "tooltip": {"mode": "multi", "sort": "desc"}}, link=link)


def states(title, description, query, legend, names, width=24, height=6, link=None):
    """A band for each series; `names` are (value from which on, word, colour)."""
    mappings = [{"type": "range", "options": {"from": low, "to": high, "result": {"text": word, "color": color, "index": number}}}
                for number, (low, high, word, color) in enumerate(names)]
    return panel("state-timeline", title, description, [(query, legend)], width, height,
                 {"custom": {"fillOpacity": 80, "lineWidth": 0}, "color": {"mode": "thresholds"}, "mappings": mappings,
                  "thresholds": {"mode": "absolute", "steps": [
                      {"color": color, "value": None if number == 0 else low} for number, (low, _, _, color) in enumerate(names)]}},
                 {"mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "alignValue": "left",
                  "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "single"}}, link=link)


def table(title, description, query, columns, unit="short", width=12, height=8, sort=None):
    """What a query says now, a line for each series; `columns` names its labels, in their order, and `Value`."""
    made = panel("table", title, description, [(query, "")], width, height,
                 {"unit": "string", "custom": {"align": "auto"}, "noValue": "nothing"},
                 {"showHeader": True, "sortBy": [{"displayName": columns[sort], "desc": False}] if sort else []}, instant=True)
    made["fieldConfig"]["overrides"] = [{"matcher": {"id": "byName", "options": columns["Value"]},
                                         "properties": [{"id": "unit", "value": unit}]}]
    made["transformations"] = [{"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
                               {"id": "organize", "options": {"renameByName": columns, "excludeByName": {},
                                                              "indexByName": {name: at for at, name in enumerate(columns)}}}]
    return made


def words(markdown, width=24, height=3):
    return {"type": "text", "title": "", "gridPos": {"w": width, "h": height},
            "options": {"mode": "markdown", "content": markdown}}


def place(rows):
    """Rows of panels from left to right, wrapped at the edge; gives each its place and number."""
    placed, y = [], 0
    for title, panels in rows:
        placed.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y, x, height = y + 1, 0, 0
        for one in panels:
            size = one["gridPos"]
            if x + size["w"] > COLUMNS:
                y, x, height = y + height, 0, 0
            one["gridPos"] = {"x": x, "y": y, **size}
            x, height = x + size["w"], max(height, size["h"])
            placed.append(one)
        y += height
    for number, one in enumerate(placed, start=1):
        one["id"] = number
    return placed


def variable(name, label, query, hide=0, absent=False):
    """Of the values that a label has now, any number; all of them at first. `absent`: there may be none."""
    return {"type": "query", "name": name, "label": label, "datasource": SOURCE, "definition": query, "hide": hide,
            "query": {"qryType": 1, "query": query, "refId": f"{name}-values"}, "multi": True, "includeAll": True, "allValue": ".*" if absent else None, "refresh": 2, "sort": 1,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "regex": ""}


def variables(with_shard):
    named = 'deployment=~"$deployment", namespace=~"$namespace"'
    made = [{"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "current": {}, "hide": 0,
             "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": ""},
            variable("deployment", "Deployment", "label_values(quarry_build_info, deployment)"),
            variable("namespace", "Namespace", 'label_values(quarry_build_info{deployment=~"$deployment"}, namespace)', absent=True),
            variable("job", "Job", f'label_values(quarry_build_info{{{named}}}, job)', hide=2),
            variable("instance", "Gateway", f'label_values(quarry_build_info{{{named}, job=~"$job"}}, instance)')]
    if with_shard:
        made.append(variable("shard", "Shard", 'label_values(quarry_shard_up{namespace=~"$namespace", job=~"$job", instance=~"$instance"}, shard)'))
    return made


def dashboard(name, description, rows):
    panels = place(rows)
    with_shard = "$shard" in json.dumps(panels)
    return {"uid": f"quarry-{name}", "title": f"Quarry / {name.capitalize()}", "description": description, "tags": ["quarry"],
            "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "",
            "time": {"from": "now-1h", "to": "now"}, "annotations": {"list": []},
            "links": [{"type": "dashboards", "title": "Quarry", "tags": ["quarry"], "asDropdown": False, "includeVars": True,
                       "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
            "templating": {"list": variables(with_shard)}, "panels": panels}
