"""One page of docs/languages: it shows the files of the example as they are, and its commands do what it says.

    QUARRYD=path/to/quarryd language_test.py --build build/debug python|node|go|java|cpp
    language_test.py --update                        writes the files into all pages

The example runs against a gateway that fails the first call of every method (faulty_gateway.py), and prints the same ten
lines as where nothing fails.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "integration" / "clients"))

import gateway  # noqa: E402
import pages  # noqa: E402

LINES_MAX = 120
SECONDS_MAX = 600  # Of which most are downloads, the first time.
SMALL_BATCHES = ["--set", "limits.row_bytes=4KiB", "--set", "limits.reply_bytes=4KiB"]
RETRIED = {f"/quarry.v1.{name}" for name in (
    "AdminService/ListShards", "DataService/Insert", "DataService/Get", "DataService/BatchWrite", "DataService/List",
    "DataService/Aggregate", "DataService/Update", "DataService/Query", "TransactionService/Begin",
    "TransactionService/Commit")}
LOCKS = {"python": "venv.lock", "node": "node.lock"}  # Of folders that other tests install into as well.
COLOURS = re.compile(r"\x1b\[\d*m")  # Maven resets them at its end, asked or not.
EXPECTED = """\
1 connect: 4 of 4 shards are up
2 insert: a customer and an order, on one shard: true
3 get: order 1 is open, total 19.90
4 batch: 5 orders written, 1 refused: UNIQUE_VIOLATION
5 pages: 2 + 2 + 1 orders below 15.00
6 aggregate: 6 orders, 69.90 in total
7 transaction: committed in run 2, after ABORTED
8 exactly once: sent twice, the second answer is a replay: true
9 error: UNIQUE_VIOLATION of orders_pkey
10 stream: 628 items, 628 different
"""


@contextlib.contextmanager
def faulty_gateway(real_port, folder, build):
    """Yields its address and a function that returns the calls so far."""
    python = gateway.python_with_grpc()
    generated = build / "clients" / "python"
    gateway.generate_python(python, generated)
    calls = folder / "calls.jsonl"
    server = subprocess.Popen([python, str(HERE / "faulty_gateway.py"), f"127.0.0.1:{real_port}", str(calls)],
                              env={**os.environ, "PYTHONPATH": str(generated)}, stdout=subprocess.PIPE, text=True,
                              preexec_fn=gateway.die_with_parent)
    try:
        port = int(server.stdout.readline())
        yield f"127.0.0.1:{port}", lambda: [json.loads(line) for line in calls.read_text().splitlines()]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def commands(page, build):
    """The commands of the page as one script; it names the release build, the test its own."""
    script = "".join(text for _, text in pages.blocks(page, "sh"))
    return script.replace("build/release", str(build.relative_to(pages.REPO)))


class LanguageTest(unittest.TestCase):
    language = ""
    build = pathlib.Path()

    @classmethod
    def setUpClass(cls):
        cls.page = pages.REPO / "docs" / "languages" / f"{cls.language}.md"

    def test_1_the_page_shows_the_files_as_they_are(self):
        shown = dict(pages.shown_files(self.page))
        folder = pages.REPO / "examples" / "languages" / self.language
        code = {path for path in folder.rglob("*") if path.suffix in (".py", ".js", ".go", ".java", ".cc")}
        self.assertEqual(set(shown), code, "the page must show every source file, and no other")
        for path, text in shown.items():
            self.assertEqual(text, path.read_text(encoding="utf-8"),
                             f"{self.page.name} is behind {path.name}: run tests/ops/languages/language_test.py --update")
            self.assertLessEqual(text.count("\n"), LINES_MAX, path.name)

    def test_2_the_page_shows_what_it_prints(self):
        self.assertEqual([text for _, text in pages.blocks(self.page, "text")], [EXPECTED])

    def test_3_its_commands_print_that_though_calls_fail(self):
        with tempfile.TemporaryDirectory(prefix="quarry-languages-") as name, contextlib.ExitStack() as stack:
            folder = pathlib.Path(name)
            _, ports = stack.enter_context(
                gateway.quarryd(folder, "--quickstart", str(folder / "data"), *SMALL_BATCHES))
            address, calls = stack.enter_context(faulty_gateway(ports["grpc"], folder, self.build))
            stack.enter_context(gateway.locked(pages.REPO / "build" / LOCKS.get(self.language, "languages.lock")))
            self.assertEqual(self.run_commands(address), EXPECTED)
            self.check_calls(calls())

    def run_commands(self, address):
        """What the page's commands print, lines before the first step left out."""
        began = time.monotonic()
        done = subprocess.run(["sh", "-euxc", commands(self.page, self.build)], cwd=pages.REPO, stdout=subprocess.PIPE,
                              text=True, timeout=SECONDS_MAX, env={**os.environ, "QUARRY_ADDRESS": address})
        print(f"{self.language}: built and run in {time.monotonic() - began:.1f} s", flush=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("1 connect", done.stdout)
        return COLOURS.sub("", done.stdout[done.stdout.index("1 connect"):])

    def check_calls(self, calls):
        """Each first call failed and went out again, the Query from where it broke."""
        by_method = {}
        for call in calls:
            by_method.setdefault(call["method"], []).append(call)
        self.assertLessEqual(RETRIED, set(by_method))
        for method in RETRIED:
            first, second = by_method[method][:2]
            self.assertNotEqual(first["done"], "passed", method)
            self.assertEqual(second["done"], "passed", method)
            if method.endswith("/Query"):
                self.assertTrue(second["request"].startswith(first["request"]), "the same query")
                self.assertGreater(len(second["request"]), len(first["request"]), "with a token to go on from")
            else:
                self.assertEqual(first["request"], second["request"], method)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--build", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("language", nargs="?")
    arguments = parser.parse_args()
    if arguments.update:
        for page in sorted((pages.REPO / "docs" / "languages").glob("*.md")):
            pages.update_files(page)
        return
    LanguageTest.language, LanguageTest.build = arguments.language, arguments.build
    unittest.main(argv=[sys.argv[0]], verbosity=2)


if __name__ == "__main__":
    main()
