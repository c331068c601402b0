"""Which floor a folder is on, and who may include whom."""

import posixpath
import re
from typing import NamedTuple

from tree import Violation, matches

ROOF = 99
LIBRARY = r"quarry_library\(\s*NAME\s+(\w+)\s+FLOOR\s+(\d+)([^)]*)\)"
INCLUDE = r'^[ \t]*#[ \t]*include[ \t]+"((?:core|server|client)/[^"]+)"'


class Library(NamedTuple):
    name: str
    floor: int


def declared_floors(tree):
    """Folder -> library, from the quarry_library calls: the folders of its sources, or its own without any."""
    libraries, violations = {}, []
    for path, text in sorted(tree.files.items()):
        if posixpath.basename(path) != "CMakeLists.txt":
            continue
        here = posixpath.dirname(path)
        for line, match in matches(text, LIBRARY):
            library = Library(match.group(1), int(match.group(2)))
            sources = re.findall(r"[\w/.+-]+\.(?:cc|c)\b", match.group(3))
            folders = {posixpath.normpath(posixpath.join(here, posixpath.dirname(source))) for source in sources}
            for folder in sorted(folders or {here}):
                if libraries.setdefault(folder, library).floor != library.floor:
                    violations.append(Violation(path, line, f"libraries of {folder} are on different floors"))
    return libraries, violations


def folder_of(path, libraries):
    """The nearest folder above the file that is a library."""
    folder = posixpath.dirname(path)
    while folder:
        if folder in libraries:
            return folder
        folder = posixpath.dirname(folder)
    return None


def check_include_floors(tree):
    libraries, violations = declared_floors(tree)
    for path, text in tree.under("core", "server", "client"):
        own = folder_of(path, libraries)
        if own is None and path.startswith("core/"):
            violations.append(Violation(path, 1, "its folder declares no quarry_library with a floor"))
            continue
        own_library = libraries.get(own, Library("", ROOF))
        for line, match in matches(text, INCLUDE):
            other = folder_of(match.group(1), libraries)
            if other is None or other == own or libraries[other] == own_library:
                continue
            if libraries[other].floor >= own_library.floor:
                message = f"floor {own_library.floor} may not include {match.group(1)} (floor {libraries[other].floor})"
                violations.append(Violation(path, line, message))
    return violations
