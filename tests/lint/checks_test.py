"""Each check finds what was planted for it, and nothing where nothing is wrong."""

import unittest

import checks
import floors
from functions import cpp_functions
from tree import Tree

HEADER = "// What it is.\n#pragma once\n"
FLOORS = {
    "core/base/CMakeLists.txt": "quarry_library(NAME base FLOOR 0\n  SRCS a.cc)\n",
    "core/plan/CMakeLists.txt": "quarry_library(NAME plan FLOOR 3 SRCS a.cc)\n",
    "core/shard/CMakeLists.txt": "quarry_library(NAME shard FLOOR 3 SRCS a.cc)\n",
}


def function(lines):
    return "int Long(int a) {\n" + "  a += 1;\n" * (lines - 2) + "}\n"


class ChecksTest(unittest.TestCase):
    def finds(self, check, files, count=1):
        violations = check(Tree(files))
        self.assertEqual(len(violations), count, "\n".join(map(str, violations)))
        return violations

    def test_include_floors(self):
        check = floors.check_include_floors
        self.finds(check, FLOORS | {"core/plan/a.cc": '#include "core/base/a.h"\n#include "core/plan/b.h"\n'}, 0)
        found = self.finds(check, FLOORS | {"core/base/a.cc": '\n#include "core/plan/a.h"\n'})
        self.assertEqual(found[0].line, 2)
        self.finds(check, FLOORS | {"core/plan/a.cc": '#include "core/shard/a.h"\n'})  # The same floor.
        self.finds(check, {"core/lost/a.cc": ""})  # No floor at all.
        self.finds(check, FLOORS | {"server/main.cc": '#include "core/plan/a.h"\n'}, 0)  # The roof.
        two = {"core/a/CMakeLists.txt": "quarry_library(NAME a FLOOR 1)\nquarry_library(NAME b FLOOR 2)\n"}
        self.finds(check, two)
        nested = {
            "client/CMakeLists.txt": "quarry_library(NAME a FLOOR 1\n SRCS a.cc internal/b.cc)\nquarry_library(NAME c FLOOR 2 SRCS tool/c.cc)\n",
            "client/internal/b.cc": '#include "client/a.h"\n',
        }
        self.finds(check, nested | {"client/tool/c.cc": '#include "client/internal/b.h"\n'}, 0)
        self.finds(check, nested | {"client/a.cc": '#include "client/tool/c.h"\n'})

    def test_file_length(self):
        self.finds(checks.check_sizes, {"core/a/a.cc": "int a;\n" * 900}, 0)
        self.finds(checks.check_sizes, {"core/a/a.cc": "int a;\n" * 901})

    def test_function_length(self):
        self.finds(checks.check_sizes, {"core/a/a.cc": function(80)}, 0)
        found = self.finds(checks.check_sizes, {"core/a/a.cc": "namespace q {\n" + function(81) + "}\n"})
        self.assertEqual(found[0].line, 2)
        self.finds(checks.check_sizes, {"core/a/a.h": "class A {\n public:\n  A() : a_(1) {\n" + "    ;\n" * 80 + "  }\n};\n"})
        self.finds(checks.check_sizes, {"core/a/a.cc": "const int kTable[] = {\n" + "  1,\n" * 200 + "};\n"}, 0)
        self.finds(checks.check_sizes, {"tests/a.py": "def f():\n" + "    pass\n" * 81})

    def test_function_finder_knows_the_forms(self):
        text = (
            "namespace q {\n"
            "template <typename T>\nclass A final : public B {\n public:\n"
            "  int Get() const override { return x_; }\n"
            '  const char* Odd() { return "}{"; }  // }\n'
            "  A(int x)\n      : x_{x} {\n    if (x) { y(); }\n  }\n"
            " private:\n  int x_ = {};\n};\n"
            "auto F(int a) -> std::vector<int> {\n  auto g = [&](int b) { return b; };\n  return {g(a)};\n}\n"
            "}\n"
        )
        self.assertEqual([length for _, length in cpp_functions(text)], [1, 1, 4, 4])

    def test_drivers_stay_in_their_folder(self):
        check = checks.check_driver_includes
        for header in ("<pqxx/pqxx>", "<libpq-fe.h>", "<postgresql/libpq-fe.h>", "<SQLiteCpp/Database.h>", "<sqlite3.h>"):
            self.finds(check, {"core/engine/a.cc": f"#include {header}\n"})
            self.finds(check, {"server/wiring/a.cc": f"#include {header}\n"})
            self.finds(check, {"tests/support/a.cc": f"#include {header}\n"}, 0)
        self.finds(check, {"core/backend/postgres/a.cc": "#include <libpq-fe.h>\n"}, 0)
        self.finds(check, {"core/backend/sqlite/a.cc": "#include <sqlite3.h>\n"}, 0)
        self.finds(check, {"core/backend/sqlite/a.cc": "#include <libpq-fe.h>\n"})

    def test_core_knows_no_wire(self):
        for header in ('"quarry/v1/data.pb.h"', "<grpcpp/grpcpp.h>", "<grpc/grpc.h>"):
            self.finds(checks.check_core_knows_no_wire, {"core/a/a.h": f"#include {header}\n"})
            self.finds(checks.check_core_knows_no_wire, {"server/a/a.h": f"#include {header}\n"}, 0)

    def test_unfinished_marks(self):
        for mark in ("TO" + "DO", "FIX" + "ME", "XX" + "X"):
            self.finds(checks.check_no_unfinished_marks, {"core/a/a.h": f"// {mark}: later\n"})
            self.finds(checks.check_no_unfinished_marks, {"README.md": f"{mark}\n"})
        self.finds(checks.check_no_unfinished_marks, {"core/a/a.h": '// "%s-TODOS" is a table.\n'}, 0)

    def test_sleeps(self):
        for sleep in ("std::this_thread::sleep_for(x);", "absl::SleepFor(x);", "usleep(3);", "time.sleep(1)"):
            self.finds(checks.check_tests_do_not_sleep, {"tests/unit/a.cc": f"  {sleep}\n"})
        self.finds(checks.check_tests_do_not_sleep, {"tests/unit/a.cc": "  // No usleep(1) here.\n"}, 0)
        self.finds(checks.check_tests_do_not_sleep, {"tests/a.py": "    time.sleep(0.1)  # A poll of another process.\n"}, 0)
        self.finds(checks.check_tests_do_not_sleep, {"tests/a.sh": "sleep 1\n"})

    def test_routing_hash(self):
        for hasher in ("std::hash<int>", "absl::Hash<Key>", "absl::HashOf(x)"):
            self.finds(checks.check_routing_hash_is_stable, {"core/routing/a.cc": f"x = {hasher};\n"})
            self.finds(checks.check_routing_hash_is_stable, {"core/cache/a.cc": f"x = {hasher};\n"}, 0)

    def test_header_form(self):
        self.finds(checks.check_header_form, {"core/a/a.h": HEADER}, 0)
        self.finds(checks.check_header_form, {"core/a/a.h": "#pragma once\n"})
        self.finds(checks.check_header_form, {"core/a/a.h": "// A.\n#ifndef A\n#define A\n#endif\n"})
        self.finds(checks.check_header_form, {"core/a/a.h": '/* A. */\n#ifndef A\n#define A\nextern "C" int f();\n#endif\n'}, 0)

    def test_includes_from_root(self):
        self.finds(checks.check_includes_start_at_root, {"core/a/a.cc": '#include "a.h"\n#include "../b/b.h"\n', "core/a/a.h": ""}, 2)
        self.finds(checks.check_includes_start_at_root, {"core/a/a.cc": '#include "core/a/a.h"\n#include "other.h"\n', "core/a/a.h": ""}, 0)

    def test_metrics(self):
        metric = {"server/observe/a.cc": 'Counter("quarry_calls_total");\n'}
        check = checks.check_metrics_are_documented
        self.finds(check, metric | {"docs/adr/0001.md": "why\n"}, 0)  # No pages yet.
        self.finds(check, metric | {"docs/operate.md": "nothing\n"})
        self.finds(check, metric | {"docs/operate.md": "`quarry_calls_total`\n"}, 0)

    def test_links(self):
        check = checks.check_markdown_links
        page = {"docs/a.md": "# Two Words\n[b](../core/b.h) [s](#two-words) [w](https://x.y/z) [f](../core)\n", "core/b.h": ""}
        self.finds(check, page, 0)
        self.finds(check, {"README.md": "[a](docs/none.md)\n"})
        self.finds(check, page | {"README.md": "[a](docs/a.md#three-words)\n"})
        self.finds(check, {"README.md": "```\n[a](none.md)\n```\n"}, 0)
        self.finds(check, {"README.md": "[a](#note)\n```sh\n# note\n```\n"})  # A comment is no heading.
        self.finds(check, {"README.md": "# A\n# A\n[a](#a-1)\n"}, 0)
        self.finds(check, {"README.md": "# A\n[a](#a-1)\n"})
        self.assertEqual(check(Tree({"README.md": "![a](docs/a.png)\n"}, others=["docs/a.png"])), [])
        self.finds(check, {"README.md": "![a](docs/a.png)\n"})


if __name__ == "__main__":
    unittest.main()
