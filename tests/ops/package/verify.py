#!/usr/bin/env python3
"""Proves the container image, the .deb and the tarball in clean Debian roots, without a container engine.

    ./dev package --verify

The base image is made by debootstrap and takes the name that the Dockerfile gives; buildah then builds that very
Dockerfile. The image's command runs in the built root as its user, with a read-only root and no capability; the .deb is
installed by apt in another clean root and run by its unit's command line. Everything is kept in build/verify, so that a
second run is quicker; rm -r build/verify starts over.
"""

import argparse
import filecmp
import hashlib
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import time

from image import REPO, Buildah, base_name
from rootfs import PATH, Failed, base_tar, in_root, run, running, unpack, wait_for

WORK = REPO / "build" / "verify"
TAG = "localhost/quarry:verify"
STAGE = "localhost/quarry:build"
PROGRAMS = ("quarryd", "quarryctl", "quarry-load")
CREATED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def expect(what, seen, wanted):
    if seen != wanted:
        raise Failed(f"{what}: {seen!r} instead of {wanted!r}")


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"


def version():
    for line in (REPO / "CMakeLists.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("project(quarry VERSION "):
            return line.split()[2]
    raise Failed("CMakeLists.txt has no project version")


def check_image_config(config):
    expect("the image's user", config["User"], "7400:7400")
    expect("the image's volumes", list(config["Volumes"]), ["/var/lib/quarry"])
    expect("the image's ports", sorted(config["ExposedPorts"]), ["7400/tcp", "7480/tcp"])
    expect("the image's command", config["Entrypoint"] + config["Cmd"], ["quarryd", "run"])
    expect("the label version", config["Labels"]["org.opencontainers.image.version"], version())
    expect("the label created", config["Labels"]["org.opencontainers.image.created"], CREATED)
    expect("the label licenses", config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0")
    expect("the health check's form", config["Healthcheck"]["Test"][0], "CMD")


def check_process(program, user):
    expect("the process's user", (program.status("Uid"), program.status("Gid")), tuple(map(str, user)))
    expect("the process's capabilities", int(program.status("CapEff"), 16), 0)
    expect("the process's number in its namespace", program.call("sh", "-c", "cat /proc/1/comm"), "quarryd\n")
    for path in ("/etc/written", "/usr/bin/written", "/tmp/written"):
        said = program.call("sh", "-c", f"touch {path} 2>&1 || true", as_root=True)
        if "Read-only file system" not in said:
            raise Failed(f"root could write {path} in a root that is mounted read-only: {said}")


def check_calls(program, log):
    wait_for(program, ["quarryctl", "health"], log)  # Alive comes first, then the shards.
    program.call("quarryctl", "sql", "--all", "--allow-writes", "CREATE TABLE probe (id INTEGER PRIMARY KEY)")
    if "s1" not in program.call("quarryctl", "sql", "--all", "SELECT count(*) AS n FROM probe"):
        raise Failed("the two shards of the sample configuration did not answer")
    for path in ("livez", "readyz", "metrics"):
        expect(f"GET /{path}", program.get(f"http://127.0.0.1:7480/{path}"), 200)


def check_programs(root, deb):
    """The programs of the image are those of this package: a builder's cache could have brought earlier ones."""
    fresh = WORK / "deb-files"
    shutil.rmtree(fresh, ignore_errors=True)
    run("dpkg-deb", "--extract", deb, fresh)
    for name in PROGRAMS:
        same = filecmp.cmp(root / "usr/bin" / name, fresh / "usr/bin" / name, shallow=False)
        expect(f"the image's {name} is that of the package", same, True)
    checksum = (root / "usr/share/quarry" / f"{deb.name}.sha256").read_text(encoding="utf-8").split()[0]
    expect("the checksum in the image", checksum, hashlib.sha256(deb.read_bytes()).hexdigest())


def check_image(buildah, deb):
    config = buildah.config(TAG)
    check_image_config(config)
    user = tuple(map(int, config["User"].split(":")))
    env = dict(setting.split("=", 1) for setting in config["Env"])
    health = config["Healthcheck"]["Test"][1:]
    log = WORK / "image.log"
    name, root = buildah.container(TAG)
    try:
        check_programs(root, deb)
        for case, arguments in (("default", config["Cmd"]),
                                ("shop", ["run", "--quickstart", "/var/lib/quarry/shop"])):
            data = WORK / f"data-{case}"
            shutil.rmtree(data, ignore_errors=True)
            command = [*config["Entrypoint"], *arguments]
            with running(root, data, user, env, command, log, config["WorkingDir"]) as program:
                wait_for(program, health, log)
                check_process(program, user)
                if case == "shop":
                    program.call("quarryctl", "get", "customers", "42")
                    program.call("quarry-load", "--help")
                else:
                    check_calls(program, log)
            print(f"{case}: stopped by SIGTERM with 0; written: {sorted(os.listdir(data))}")
    finally:
        buildah.remove(name)


def build_image(buildah, options):
    dockerfile = (REPO / "Dockerfile").read_text(encoding="utf-8")
    buildah.import_base(base_tar(WORK / "base.tar", options.mirror), base_name(dockerfile))
    began = time.monotonic()
    # A new time, so that the packages are made again: buildah 1.28 mounts nothing of a stage that it took from its cache.
    arguments = ("--build-arg", f"SOURCE_DATE_EPOCH={int(time.time())}", "--build-arg", f"VERSION={version()}",
                 "--build-arg", f"CREATED={CREATED}")
    buildah.build(TAG, options.ccache, options.jobs, *arguments)
    took = time.monotonic() - began
    buildah.build(STAGE, options.ccache, options.jobs, *arguments, "--target", "build")  # From its cache.
    whole, base = buildah.size(TAG), buildah.size(base_name(dockerfile))
    print(f"image: built in {took:.0f} s; {mib(whole - base)} on top of the base's {mib(base)}")


def packages_of(buildah):
    """The packages that the build stage made, copied out of it."""
    name, root = buildah.container(STAGE)
    try:
        folder = WORK / "packages"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in (root / "src/build/package").glob("quarry[-_]*"):
            shutil.copy(path, folder)
    finally:
        buildah.remove(name)
    return next(folder.glob("*.deb")), next(folder.glob("*.tar.gz"))


def unit_of(root):
    unit = {}
    for line in (root / "lib/systemd/system/quarryd.service").read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            unit[name] = value
    return unit


def check_installed(root):
    """Runs the unit's command line as the unit's user."""
    accounts = [line.split(":") for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines()]
    unit = unit_of(root)
    user = next(((int(words[2]), int(words[3])) for words in accounts if words[0] == unit["User"]), None)
    if user is None:
        raise Failed(f"the package made no account {unit['User']}")
    configuration = (root / "etc/quarry/quarry.yaml").stat()
    expect("quarry.yaml's mode", oct(configuration.st_mode & 0o777), "0o640")
    expect("quarry.yaml's owners", (configuration.st_uid, configuration.st_gid), (0, user[1]))
    expect("the data folder's owner", (root / "var/lib/quarry").stat().st_uid, user[0])
    data = WORK / "data-deb"
    shutil.rmtree(data, ignore_errors=True)
    log = WORK / "deb.log"
    with running(root, data, user, {"PATH": PATH}, unit["ExecStart"].split(), log, unit["WorkingDirectory"]) as program:
        wait_for(program, ["quarryctl", "health", "--live"], log)
        check_process(program, user)
        check_calls(program, log)


def check_deb(deb, tarball, mirror):
    run("lintian", "--allow-root", "--fail-on", "error,warning", deb)
    root = unpack(base_tar(WORK / "base.tar", mirror), WORK / "deb-root")
    shutil.copy(deb, root / "root")
    package = f"/root/{deb.name}"
    in_root(root, "apt-get", "update", "-q")
    in_root(root, "apt-get", "install", "-q", "-y", "--no-install-recommends", package)
    check_installed(root)
    # The libraries are those of the .deb; the folder is where the tarball says nothing of.
    run("tar", "-C", root / "opt", "-xf", tarball)
    folder = "/opt/" + tarball.name.removesuffix(".tar.gz")
    for name in PROGRAMS:
        said = in_root(root, f"{folder}/bin/{name}", "--version", text=True, capture_output=True).strip()
        expect(f"{name} --version", said, f"{name} {version()}")
    in_root(root, f"{folder}/bin/quarryd", "config", "check", "--config", f"{folder}/share/quarry/quarry.yaml")
    check_removal(root, package)


def check_removal(root, package):
    enabled = root / "etc/systemd/system/multi-user.target.wants/quarryd.service"
    expect("the service is enabled before anybody asked", enabled.is_symlink(), False)
    enabled.parent.mkdir(parents=True, exist_ok=True)
    enabled.symlink_to("/lib/systemd/system/quarryd.service")  # As `systemctl enable` does.
    configuration = root / "etc/quarry/quarry.yaml"
    edited = configuration.read_text(encoding="utf-8") + "# mine\n"
    configuration.write_text(edited, encoding="utf-8")
    in_root(root, "apt-get", "install", "-q", "-y", "--reinstall", package)
    expect("an edited configuration after an upgrade", configuration.read_text(encoding="utf-8"), edited)
    (root / "var/lib/quarry/s0.db").write_text("rows", encoding="utf-8")
    in_root(root, "apt-get", "remove", "-q", "-y", "quarry")
    expect("the configuration is kept by remove", configuration.exists(), True)
    expect("an enabled service is enabled again after a removal", enabled.is_symlink(), True)
    in_root(root, "apt-get", "purge", "-q", "-y", "quarry")
    expect("the configuration is kept by purge", configuration.exists(), False)
    expect("the link of an enabled service is kept by purge", enabled.is_symlink(), False)
    expect("a database is kept by purge", (root / "var/lib/quarry/s0.db").exists(), True)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev package --verify", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="where Debian's packages come from")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at a time (one per core)")
    parser.add_argument("--ccache", default=os.environ.get("CCACHE_DIR", ""), help="a compiler cache to use ($CCACHE_DIR)")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if os.geteuid() != 0:
        sys.exit(f"verify.py: debootstrap and mounts need root, and this is {pwd.getpwuid(os.geteuid()).pw_name}")
    WORK.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(WORK)
    try:
        build_image(buildah, options)
        deb, tarball = packages_of(buildah)
        check_image(buildah, deb)
        check_deb(deb, tarball, options.mirror)
    except (Failed, subprocess.TimeoutExpired) as failure:
        sys.exit(f"verify.py: {failure}")
    finally:
        buildah.remove("--all")
    print("verified: the image, the .deb and the tarball")


if __name__ == "__main__":
    main()
