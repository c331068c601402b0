"""Finds functions in C++ and Python by their braces and indentation, well enough to measure them."""

import ast
import re

from tree import blank_comments_and_strings, line_of

FUNCTION_LINES_MAX = 80
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum)\b")
LABELS = re.compile(r"(?:\s|(?:public|private|protected)\s*:)*")
FUNCTION_TAIL = re.compile(r"\)\s*(const|noexcept|override|final|mutable|&&?|try|ABSL_\w+(\([^()]*\))?|->\s*[\w:<>,\s*&]+|\s)*$")
INITIALIZERS = re.compile(r"\)\s*(noexcept\s*)?:\s*[\w:]+\s*[({]")


def _without_preprocessor(text):
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.MULTILINE)


def _is_function(head):
    if "(" not in head or re.search(r"=\s*$", head):
        return False
    return bool(FUNCTION_TAIL.search(head)) or bool(INITIALIZERS.search(head))


def cpp_functions(text):
    """(first line, number of lines) of every function body that stands at namespace or class scope."""
    code = _without_preprocessor(blank_comments_and_strings(text))
    stack, functions, head_start = [], [], 0
    for offset, char in enumerate(code):
        if char in ";" and not any(kind == "function" for kind, _ in stack):
            head_start = offset + 1
        elif char == "{":
            inside = any(kind == "function" for kind, _ in stack)
            head = code[head_start:offset]
            if inside:
                stack.append(("block", offset))
            elif _is_function(head):
                start = head_start + len(LABELS.match(head).group(0))
                stack.append(("function", start))
            else:
                stack.append(("scope" if SCOPE.search(head) else "braces", offset))
            if not inside and stack[-1][0] == "scope":
                head_start = offset + 1
        elif char == "}" and stack:
            kind, start = stack.pop()
            if kind == "function":
                first = line_of(code, start)
                functions.append((first, line_of(code, offset) - first + 1))
            if kind in ("function", "scope"):
                head_start = offset + 1
    return functions


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1
