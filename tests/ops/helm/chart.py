"""The chart as the tests use it: rendered by the real helm from the files of values/, with rules and dashboards of its own."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[2]
CHART = REPO / "helm" / "quarry"
CASES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
# The oldest that the chart takes, the one in the middle, and the newest that the schemas know.
KUBERNETES = ("1.30.0", "1.33.0", "1.37.0")


def tool(name):
    """A program that ./dev builds into build/tools."""
    path = REPO / "build" / "tools" / name
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is missing; ./dev test builds it (QUARRY_SKIP_INSTALL unset)")
    return str(path)


def helm(*arguments, check=True):
    done = subprocess.run([tool("helm"), *map(str, arguments)], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"helm {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done


def values_of(case):
    return HERE / "values" / f"{case}.yaml"


def render(case, chart=CHART, kubernetes=KUBERNETES[-1], more=()):
    """What `helm install shop` in the namespace `shop` would send, as text."""
    return helm("template", "shop", chart, "--namespace", "shop", "--kube-version", kubernetes, "--values",
                values_of(case), *more).stdout


def resources(text):
    return [document for document in yaml.safe_load_all(text) if document]


def only(found, kind, name=None):
    """The one resource of the kind, or the one of that name, among those of a render."""
    fitting = [one for one in found if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    if len(fitting) != 1:
        raise AssertionError(f"{len(fitting)} resources are {kind} {name or ''}")
    return fitting[0]


def workload(found):
    return next(one for one in found if one["kind"] in ("Deployment", "StatefulSet"))


def gateway_container(found):
    return workload(found)["spec"]["template"]["spec"]["containers"][0]


@contextlib.contextmanager
def copied_chart(rules=HERE / "fixtures" / "rules", dashboards=HERE / "fixtures" / "dashboards"):
    """The chart with other rules and dashboards, so that what it renders does not change with each of them."""
    with tempfile.TemporaryDirectory(prefix="quarry-chart-") as folder:
        copy = pathlib.Path(folder) / "quarry"
        shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("rules", "dashboards"))
        for name, source in (("rules", rules), ("dashboards", dashboards)):
            if source is not None:
                shutil.copytree(source, copy / name)
        yield copy
