"""The Dockerfile, built by buildah without a container engine, on a base image that debootstrap made."""

import json
import pathlib
import re

from rootfs import Failed, run

REPO = pathlib.Path(__file__).resolve().parents[3]


def base_name(dockerfile):
    """The base image that the Dockerfile names, with its registry."""
    found = re.search(r"^ARG DEBIAN=(\S+)$", dockerfile, re.MULTILINE)
    if not found:
        raise Failed("the Dockerfile has no line ARG DEBIAN=…")
    return "docker.io/library/" + found.group(1)


class Buildah:
    """A store of images in `folder`."""

    def __init__(self, folder):
        self._tool = ["buildah", "--root", folder / "images", "--runroot", folder / "run"]

    def _run(self, *arguments, **options):
        return run(*self._tool, *arguments, **options)

    def _text(self, *arguments):
        return self._run(*arguments, text=True, capture_output=True).strip()

    def has(self, name):
        images = json.loads(self._text("images", "--json") or "[]") or []
        return any(name in (image.get("names") or []) for image in images)

    def import_base(self, tar, name):
        if self.has(name):
            return
        container = self._text("from", "scratch")
        self._run("add", container, tar, "/")
        self._run("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        self._run("commit", "--rm", container, name)

    def build(self, tag, ccache, jobs, *options):
        """Builds the Dockerfile of the tree; a stage that was built before is not built again."""
        arguments = ["bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--layers",
                     "--build-arg", f"QUARRY_JOBS={jobs}", "--tag", tag, *options]
        if ccache:
            pathlib.Path(ccache).mkdir(parents=True, exist_ok=True)
            arguments += ["--volume", f"{ccache}:/host-ccache:rw", "--build-arg", "CCACHE_DIR=/host-ccache"]
        self._run(*arguments, REPO)

    def config(self, tag):
        return json.loads(self._text("inspect", "--type", "image", tag))["Docker"]["config"]

    def size(self, tag):
        """Bytes on disk of all files."""
        name, root = self.container(tag)
        try:
            return int(run("du", "--summarize", "--block-size=1", root, text=True, capture_output=True).split()[0])
        finally:
            self.remove(name)

    def container(self, tag):
        """A fresh container's root folder, and the name to remove it by."""
        name = self._text("from", "--pull-never", tag)
        return name, pathlib.Path(self._text("mount", name))

    def remove(self, name):
        self._run("rm", name)
