"""examples/compose as Compose itself reads it: merged, interpolated, with absolute paths."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[2]
FOLDER = REPO / "examples" / "compose"
# The loader that the docker compose plugin is built on; ./dev installs it.
LOADER = REPO / "build" / "compose" / "compose-go"


def has_plugin():
    return bool(shutil.which("docker")) and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def model(env=None):
    """The project with every profile, read by `docker compose config` where the client has it."""
    file = str(FOLDER / "compose.yaml")
    if has_plugin():
        command = ["docker", "compose", "--file", file, "--profile", "*", "config", "--format", "json"]
    elif LOADER.exists():
        command = [str(LOADER), "-format", "json", file]
    else:
        sys.exit(f"neither the docker compose plugin nor {LOADER} is there; ./dev install tests brings the latter")
    done = subprocess.run(command, text=True, capture_output=True, cwd=FOLDER,
                          env={**os.environ, **(env or {})}, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def files_of(project, service):
    """{path in the container: path here} of the configs of a service, in the order of the former."""
    mounted = {config["target"]: project["configs"][config["source"]]["file"]
               for config in project["services"][service].get("configs") or []}
    return dict(sorted(mounted.items()))
