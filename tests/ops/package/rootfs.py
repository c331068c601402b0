"""Clean Debian roots, and programs that run in one as a container engine would run them: read-only root, no rights.

Root only. Only the standard library and Debian's debootstrap, iproute2 and util-linux are used here.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import time

SUITE = "bookworm"
START_SECONDS = 60
STOP_SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What debian:12-slim leaves out of every package that is installed in it.
SLIM = "path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n" \
       "path-exclude /usr/share/man/*\npath-exclude /usr/share/info/*\npath-exclude /usr/share/locale/*\n"


class Failed(Exception):
    """A check of the packages has failed; the text says which, and what was seen."""


def run(*command, **options):
    """Runs a command that must succeed; its output goes where ours goes, unless options say otherwise."""
    print("+", *command, flush=True)
    done = subprocess.run([str(word) for word in command], **options)
    if done.returncode != 0:
        shown = (done.stdout or "") + (done.stderr or "") if options.get("text") else ""
        raise Failed(f"{shlex.join(map(str, command))} ended with {done.returncode}\n{shown}")
    return done.stdout


def base_tar(path, mirror):
    """A tar file of the smallest Debian with its updates, made once; the stand-in for debian:12-slim."""
    if path.exists():
        return path
    root = path.with_suffix(".root")
    run("rm", "-rf", root)
    run("debootstrap", "--variant=minbase", SUITE, root, mirror, stdout=subprocess.DEVNULL)
    (root / "etc/apt/sources.list").write_text(
        f"deb {mirror} {SUITE} main\ndeb {mirror} {SUITE}-updates main\n"
        f"deb {mirror}-security {SUITE}-security main\n", encoding="utf-8")
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(SLIM, encoding="utf-8")
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/cache/apt",
                   "var/lib/apt/lists"):
        run("find", root / folder, "-mindepth", "1", "-delete")
    half = path.with_suffix(".half")
    run("tar", "-C", root, "-cf", half, ".")
    half.rename(path)
    run("rm", "-rf", root)
    return path


def unpack(tar, root):
    run("rm", "-rf", root)
    root.mkdir(parents=True)
    run("tar", "-C", root, "-xf", tar)
    return root


def in_root(root, *command, **options):
    """A command of root's in `root`, with the network, for example apt-get."""
    with open("/etc/resolv.conf", encoding="utf-8") as names:
        (root / "etc/resolv.conf").write_text(names.read(), encoding="utf-8")
    script = f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && exec chroot {root} \"$@\""
    env = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return run("unshare", "--mount", "sh", "-euc", script, "sh", *command, env=env, **options)


class Running:
    """A program in a root: its process as this machine sees it, and how to run another one beside it."""

    def __init__(self, pid, user, env):
        self.pid = pid
        self._user = user
        self._env = env

    def _enter(self, *what):
        return ["nsenter", "--target", str(self.pid), *what]

    def call(self, *command, code=0, as_root=False):
        """Runs `command` in the same root and network, as the same user; returns its output."""
        who = [] if as_root else ["--setuid", str(self._user[0]), "--setgid", str(self._user[1])]
        enter = self._enter("--mount", "--net", "--pid", "--root", "--wd", *who, "--")
        done = subprocess.run([*enter, *command], env=self._env, text=True, capture_output=True)
        print("$", *command, "->", done.returncode, flush=True)
        if code is not None and done.returncode != code:
            raise Failed(f"{shlex.join(command)} ended with {done.returncode} instead of {code}\n"
                         f"{done.stdout}{done.stderr}")
        return done.stdout

    def get(self, url):
        """The status of an HTTP request in the program's network; the client is this machine's Python."""
        code = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=5).status)"
        found = subprocess.run(self._enter("--net", "--", "python3", "-c", code), text=True, capture_output=True)
        if found.returncode != 0:
            raise Failed(f"GET {url}: {found.stderr}")
        return int(found.stdout)

    def status(self, field):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(field + ":"):
                return line.split()[1]
        raise Failed(f"/proc/{self.pid}/status has no {field}")


def _child_of(process):
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = children.read_text(encoding="utf-8").split()
        if found:
            return int(found[0])
        time.sleep(0.02)  # A poll of another process.
    raise Failed("the program in the root did not start")


@contextlib.contextmanager
def running(root, data, user, env, command, log, workdir="/"):
    """Runs `command` as process 1 of namespaces of its own while the block runs, then drains it with SIGTERM.

    The root is mounted read-only, `data` is /var/lib/quarry, no capability is left, no new right can be had, and
    the network is a loopback of its own. `user` is (uid, gid).
    """
    uid, gid = user
    data.mkdir(parents=True, exist_ok=True)
    os.chown(data, uid, gid)
    settings = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    script = f"""
        ip link set lo up
        mount --bind {root} {root}
        mount --bind {data} {root}/var/lib/quarry
        mount -t proc proc {root}/proc
        mount -o remount,bind,ro {root}
        cd {root}
        exec chroot {root} /usr/bin/env -i --chdir={workdir} {settings} setpriv --reuid={uid} --regid={gid} \\
            --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- "$@"
    """
    with open(log, "w", encoding="utf-8") as out:
        outer = subprocess.Popen(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
                                  "sh", "-euc", script, "sh", *command], stdout=out, stderr=out)
    try:
        program = Running(_child_of(outer), user, env)
        yield program
        if outer.poll() is not None:
            raise Failed(f"{command[0]} ended by itself with {outer.returncode}:\n{log.read_text(encoding='utf-8')}")
        os.kill(program.pid, signal.SIGTERM)
        if outer.wait(timeout=STOP_SECONDS) != 0:
            raise Failed(f"after SIGTERM {command[0]} ended with {outer.returncode}:\n"
                         f"{log.read_text(encoding='utf-8')}")
    finally:
        outer.kill()
        outer.wait()


def wait_for(program, command, log):
    """Polls a command beside the program until it succeeds."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return program.call(*command)
        except Failed as failure:
            if time.monotonic() > deadline:
                raise Failed(f"{failure}\n{log.read_text(encoding='utf-8')}") from failure
        time.sleep(0.2)  # A poll of another process.
