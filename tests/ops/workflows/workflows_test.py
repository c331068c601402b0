"""The workflows pass actionlint and call only ./dev, so that what CI runs can be run here; shell scripts pass shellcheck."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = REPO / "build" / "tools" / "actionlint"
# What a job may run besides ./dev: Debian packages for the checkout, and git's trust in it.
PREPARATION = (
    "apt-get update && apt-get install -y --no-install-recommends ",
    'git config --global --add safe.directory "$GITHUB_WORKSPACE"',
)


def shell_scripts():
    """Every tracked or new file that a shell runs; a folder .ci is of the machine that runs CI, and may be there or not."""
    listed = subprocess.run(["git", "-c", f"safe.directory={REPO}", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=REPO, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = REPO / name
        if not path.is_file() or name.startswith(".ci/"):
            continue
        with open(path, "rb") as file:
            first = file.readline(80)
        if re.match(rb"#!.*\b(ba|da)?sh\b", first) or name.endswith(".sh"):
            yield name


def run_steps(text):
    """The commands of `run:` steps, one a line; a folded or literal block counts as its lines."""
    for match in re.finditer(r"^( *)(?:- )?run: *(.*)$", text, re.MULTILINE):
        if match.group(2) not in ("|", ">", "|-", ">-"):
            yield match.group(2)
            continue
        for line in text[match.end() + 1:].split("\n"):
            if line.strip() and len(line) - len(line.lstrip()) <= len(match.group(1)):
                break
            if line.strip():
                yield line.strip()


class WorkflowsTest(unittest.TestCase):
    def actionlint(self, *files):
        if not ACTIONLINT.exists():
            self.fail(f"{ACTIONLINT} is missing: ./dev test installs it")
        # The real shellcheck looks at the scripts within.
        command = [ACTIONLINT, "-no-color", "-shellcheck", shutil.which("shellcheck") or self.fail("install shellcheck"), *files]
        return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)

    def test_there_are_workflows(self):
        self.assertLessEqual({"ci.yml", "matrix.yml"}, {path.name for path in WORKFLOWS})

    def test_they_pass_actionlint(self):
        done = self.actionlint(*WORKFLOWS)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_actionlint_finds_what_is_planted(self):
        good = WORKFLOWS[0].read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            bad = pathlib.Path(folder) / "bad.yml"
            for old, new, word in (("runs-on: ubuntu-latest", "runs-on: ubuntu-newest", "ubuntu-newest"),
                                   ("run: ./dev ", "run: echo $UNSET ; ./dev ", "SC2086"),
                                   ("uses: actions/checkout@v4", "uses: actions/checkout", "actions/checkout")):
                self.assertIn(old, good)
                bad.write_text(good.replace(old, new), encoding="utf-8")
                done = self.actionlint(bad)
                self.assertEqual(done.returncode, 1)
                self.assertIn(word, done.stdout)

    def test_jobs_call_only_dev(self):
        for path in WORKFLOWS:
            commands = list(run_steps(path.read_text(encoding="utf-8")))
            self.assertTrue(any(command.startswith("./dev ") for command in commands), path.name)
            for command in commands:
                self.assertTrue(command.startswith(("./dev ", *PREPARATION)),
                                f"{path.name}: \"{command}\" cannot be run here; put it behind a ./dev command")

    def test_dev_has_the_commands_and_long_options_that_they_call(self):
        called = {match.groups() for path in WORKFLOWS for command in run_steps(path.read_text(encoding="utf-8"))
                  for match in re.finditer(r"\./dev (\S+)([^&|;]*)", command)}
        self.assertGreater(len(called), 5)
        for name, options in sorted(called):
            done = subprocess.run([REPO / "dev", name, "--help"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, f"./dev {name}: {done.stderr}")
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", options):
                self.assertRegex(done.stdout, rf"{option}(?![\w-])", f"./dev {name} has no {option}")


class ShellTest(unittest.TestCase):
    def test_every_shell_script_passes_shellcheck(self):
        scripts = list(shell_scripts())
        self.assertLessEqual({"dev", "tests/integration/clients/quarryctl_test.sh"}, set(scripts))
        done = subprocess.run(["shellcheck", "--external-sources", *scripts], cwd=REPO, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_shellcheck_finds_what_is_planted(self):
        done = subprocess.run(["shellcheck", "--shell=sh", "-"], input="rm -r $1\n", capture_output=True, text=True, check=False)
        self.assertIn("SC2086", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
