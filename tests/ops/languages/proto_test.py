"""buf on the wire contract: it is well formed, and takes nothing away that proto/baseline.binpb has."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
BUF = REPO / "build" / "node" / "node_modules" / ".bin" / "buf"


class ProtoTest(unittest.TestCase):
    def setUp(self):
        if not os.access(BUF, os.X_OK):
            self.fail(f"{BUF} is not there: ./dev test installs it, or npm install --prefix build/node @bufbuild/buf")
        temporary = tempfile.TemporaryDirectory(prefix="quarry-proto-")
        self.addCleanup(temporary.cleanup)
        self.proto = pathlib.Path(temporary.name) / "proto"
        shutil.copytree(REPO / "proto", self.proto)

    def buf(self, *arguments):
        """Its exit code and what it says; 100 means that it found something."""
        done = subprocess.run([str(BUF), *arguments], cwd=self.proto, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120, env={**os.environ, "BUF_CACHE_DIR": str(self.proto.parent)})
        return done.returncode, done.stdout

    def breaking(self):
        return self.buf("breaking", "--against", "baseline.binpb", "--path", "quarry")

    def edit(self, file, old, new):
        path = self.proto / "quarry" / "v1" / file
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text, f"{file} has changed; change this test with it")
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def test_the_contract_is_well_formed(self):
        self.assertEqual(self.buf("lint"), (0, ""))

    def test_a_name_out_of_line_is_found(self):
        self.edit("lock.proto", "bool held = 1;", "bool isHeld = 1;")
        code, said = self.buf("lint")
        self.assertEqual(code, 100, said)
        self.assertIn('Field name "isHeld" should be lower_snake_case', said)

    def test_nothing_of_the_baseline_is_gone(self):
        code, said = self.breaking()
        self.assertEqual(code, 0, f"clients in the field would break:\n{said}")

    def test_what_breaks_clients_is_found(self):
        for name, file, old, new in [
            ("a field that is gone", "lock.proto", "  bool held = 1;\n", ""),
            ("another number", "lock.proto", "bool held = 1;", "bool held = 19;"),
            ("another type", "lock.proto", "int32 waiters = 5;", "string waiters = 5;"),
            ("a call that is gone", "lock.proto", "  rpc GetLock(GetLockRequest) returns (GetLockResponse);\n", ""),
            ("a call that streams", "data.proto", "returns (GetResponse)", "returns (stream GetResponse)"),
            ("an enum value that is gone", "admin.proto", "  BACKEND_KIND_SQLITE = 1;\n", ""),
        ]:
            with self.subTest(name):
                before = (self.proto / "quarry" / "v1" / file).read_text(encoding="utf-8")
                self.edit(file, old, new)
                code, said = self.breaking()
                self.assertEqual(code, 100, said)
                self.assertIn(f"quarry/v1/{file}", said)
                (self.proto / "quarry" / "v1" / file).write_text(before, encoding="utf-8")

    def test_what_is_added_breaks_nothing(self):
        self.edit("lock.proto", "bool held = 1;", "bool held = 1;\n  // Why.\n  string why = 19;")
        self.assertEqual(self.breaking(), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
