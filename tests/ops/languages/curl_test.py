"""docs/curl.md: each of its commands, run as it stands, prints the block that follows it.

    QUARRYD=path/to/quarryd curl_test.py
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration" / "clients"))

import gateway  # noqa: E402
import pages  # noqa: E402

PAGE = pages.REPO / "docs" / "curl.md"
EXAMPLE = re.compile(r"^```sh\n(?P<command>.*?)^```\n\n```(?P<kind>json|text)\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)


def documents(text):
    """The JSON documents of a text, one after the other; tokens are left out, since they are sealed anew each time."""
    decoder, found, at = json.JSONDecoder(object_hook=without_tokens), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def without_tokens(document):
    return {name: "…" if name == "resumeToken" else value for name, value in document.items()}


class CurlPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quarry-curl-")))
        _, cls.ports = stack.enter_context(gateway.quarryd(folder, "--quickstart", str(folder / "data")))

    def run_command(self, command):
        """On the ports of this test's gateway."""
        command = command.replace("localhost:7480", f"127.0.0.1:{self.ports['http']}")
        command = command.replace("localhost:7400", f"127.0.0.1:{self.ports['grpc']}")
        with gateway.locked(pages.REPO / "build" / "node.lock"):
            done = subprocess.run(["sh", "-euc", command], cwd=pages.REPO, stdout=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, command)
        return done.stdout

    def test_each_command_prints_what_the_page_shows(self):
        examples = list(EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")))
        self.assertEqual(len(examples), len(pages.blocks(PAGE, "sh")), "a block of commands is followed by its output")
        for example in examples:
            with self.subTest(example["command"]):
                printed = self.run_command(example["command"])
                if example["kind"] == "json":
                    self.assertEqual(documents(printed), documents(example["output"]))
                else:
                    self.assertEqual(printed, example["output"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
