"""The house rules that a machine can check. Each check takes a Tree and returns Violations."""

import itertools
import posixpath
import re

from floors import check_include_floors
from functions import FUNCTION_LINES_MAX, cpp_functions, python_functions
from tree import Violation, blank_comments_and_strings, matches

FILE_LINES_MAX = 900
CODE = ("core", "server", "client", "tests", "loadtest", "examples", "proto")
CODE_ENDINGS = (".h", ".cc", ".c", ".py", ".js", ".proto", ".sh", ".cmake")


def check_sizes(tree):
    violations = []
    for path, text in tree.under(*CODE, endings=CODE_ENDINGS):
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            violations.append(Violation(path, 1, f"{lines} lines; at most {FILE_LINES_MAX}"))
        functions = ()
        if path.endswith((".h", ".cc", ".c")):
            functions = cpp_functions(text)
        elif path.endswith(".py"):
            functions = python_functions(text)
        for line, length in functions:
            if length > FUNCTION_LINES_MAX:
                violations.append(Violation(path, line, f"a function of {length} lines; at most {FUNCTION_LINES_MAX}"))
    return violations


def _forbid(tree, folders, pattern, message, allowed=(), endings=(".h", ".cc"), code_only=True):
    violations = []
    for path, text in tree.under(*folders, endings=endings):
        if any(path.startswith(prefix) for prefix in allowed):
            continue
        if code_only and path.endswith((".h", ".cc", ".c")):
            text = blank_comments_and_strings(text, keep_strings=True)
        violations += [Violation(path, line, message) for line, _ in matches(text, pattern)]
    return violations


def check_driver_includes(tree):
    """One folder per driver; tests and load tests may look at databases directly."""
    product = ("core", "server", "client")
    return _forbid(
        tree, product, r'^[ \t]*#[ \t]*include[ \t]+[<"](pqxx/|pqxx>|libpq|postgresql/|pg_config)',
        "only core/backend/postgres includes pqxx or libpq", allowed=("core/backend/postgres/",),
    ) + _forbid(
        tree, product, r'^[ \t]*#[ \t]*include[ \t]+[<"](SQLiteCpp/|sqlite3)',
        "only core/backend/sqlite includes SQLiteCpp or sqlite3", allowed=("core/backend/sqlite/",),
    )


def check_core_knows_no_wire(tree):
    return _forbid(
        tree, ("core",), r'^[ \t]*#[ \t]*include[ \t]+[<"](grpc|grpcpp|grpc\+\+|quarry/v1)/',
        "core includes no gRPC and no generated messages of quarry.v1",
    )


def check_no_unfinished_marks(tree):
    marks = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X"))
    pattern = rf"\b({marks})\b"
    everything = sorted({path.split("/")[0] for path in tree.files if "/" in path})
    violations = _forbid(
        tree, everything, pattern, "unfinished: do it, or file it and remove the mark",
        endings=CODE_ENDINGS + (".md", ".txt", ".yml", ".yaml"), code_only=False,
    )
    for path, text in sorted(tree.files.items()):
        if "/" not in path:
            violations += [Violation(path, line, "unfinished mark") for line, _ in matches(text, pattern)]
    return violations


def check_tests_do_not_sleep(tree):
    """But support may poll a foreign process, which tells nobody when it is ready; a line that does so says "poll"."""
    violations = _forbid(
        tree, ("tests",), r"\b(sleep_for|sleep_until|SleepFor|usleep|nanosleep)\s*\(|\btime\.sleep\s*\(|^\s*sleep\s+[0-9]",
        "a test does not sleep: wait for the event, or drive the clock",
        allowed=("tests/lint/", "tests/support/postgres/"), endings=(".h", ".cc", ".py", ".sh"),
    )
    return [v for v in violations if not re.search(r"(//|#).*\bpoll", tree.files[v.path].split("\n")[v.line - 1])]


def check_routing_hash_is_stable(tree):
    return _forbid(
        tree, ("core/routing",), r"\bstd::hash\b|\babsl::Hash\b|\babsl::HashOf\b|\bAbslHashValue\b",
        "a route must be the same on every machine: use the stable hash",
    )


def check_header_form(tree):
    """A header for C compilers too (extern "C") may have C's comments and guards."""
    violations = []
    for path, text in tree.under("core", "server", "client", "tests", "loadtest", endings=(".h",)):
        for_c = 'extern "C"' in text
        if not text.startswith(("//", "/*") if for_c else "//"):
            violations.append(Violation(path, 1, "a header begins with a comment that says what it is"))
        code = blank_comments_and_strings(text).lstrip()
        if not code.startswith(("#pragma once\n", "#ifndef ") if for_c else "#pragma once\n"):
            violations.append(Violation(path, 1, "#pragma once comes before all code"))
    return violations


def check_includes_start_at_root(tree):
    violations = []
    for path, text in tree.under("core", "server", "client", "tests", "loadtest"):
        for line, match in matches(text, r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"'):
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), match.group(1)))
            if match.group(1).startswith(".") or (beside in tree.files and match.group(1) not in tree.files):
                violations.append(Violation(path, line, "includes are written from the root of the tree"))
    return violations


def check_metrics_are_documented(tree):
    """Once docs/ has pages (ADRs aside), each metric of server/observe is named in one of them."""
    pages = [text for path, text in tree.under("docs", endings=(".md",)) if not path.startswith("docs/adr/")]
    if not pages:
        return []
    violations = []
    for path, text in tree.under("server/observe"):
        for line, match in matches(text, r'"((?:quarry|grpc_server)_[a-z0-9_]+)"'):
            if not any(match.group(1) in page for page in pages):
                violations.append(Violation(path, line, f"the metric {match.group(1)} is documented nowhere in docs/"))
    return violations


def check_markdown_links(tree):
    """Relative links and pictures lead to a file or folder of the tree; anchors to a heading of the page."""
    paths = set(tree.files) | tree.others
    for path in list(paths):
        while path := posixpath.dirname(path):
            paths.add(path)
    violations = []
    for path, text in sorted(tree.files.items()):
        if not path.endswith(".md"):
            continue
        for line, match in matches(_prose(text), r"\]\(([^)\s]+)\)"):
            target, _, anchor = match.group(1).partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) if target else path
            if resolved not in paths:
                violations.append(Violation(path, line, f"the link {match.group(1)} leads nowhere"))
            elif anchor and resolved.endswith(".md") and anchor not in _anchors(tree.files[resolved]):
                violations.append(Violation(path, line, f"no heading for the link {match.group(1)}"))
    return violations


def _prose(text):
    """A page without its code blocks; line numbers stay."""
    return re.sub(r"```.*?```", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.DOTALL)


def _anchors(text):
    """Of a page's headings; one that comes again gets -1, -2, …"""
    anchors = set()
    for _, match in matches(_prose(text), r"^#+\s+(.+?)\s*$"):
        heading = re.sub(r"[^\w\- ]", "", match.group(1).lower()).replace(" ", "-")
        numbered = (f"{heading}-{number}" for number in itertools.count(1))
        anchors.add(next(name for name in itertools.chain([heading], numbered) if name not in anchors))
    return anchors


ALL_CHECKS = (
    check_include_floors,
    check_sizes,
    check_driver_includes,
    check_core_knows_no_wire,
    check_no_unfinished_marks,
    check_tests_do_not_sleep,
    check_routing_hash_is_stable,
    check_header_form,
    check_includes_start_at_root,
    check_metrics_are_documented,
    check_markdown_links,
)
