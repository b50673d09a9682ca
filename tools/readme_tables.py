#!/usr/bin/env python3
"""Write README.md's table of parts from the registries, or check that it is current."""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import msrs
from msrs.files import write_text
from msrs.registry import Registry

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- parts: written by tools/readme_tables.py -->\n"
END = "<!-- end of parts -->\n"


def find_registries() -> list[Registry]:
    """The tables of all rooms, sorted by their word for the family."""
    found = {}
    for package in pkgutil.walk_packages(msrs.__path__, "msrs."):
        if package.ispkg:
            for value in vars(importlib.import_module(package.name)).values():
                if isinstance(value, Registry):
                    found[value.kind] = value
    return [found[kind] for kind in sorted(found)]


def parts_table() -> str:
    """One row a part: family, `type:`, the first line of its docstring."""
    rows = ["| family | `type:` | what it is |", "|---|---|---|"]
    for registry in find_registries():
        for i, (name, cls) in enumerate(registry.classes.items()):
            summary = cls.__doc__.strip().splitlines()[0].replace("|", "\\|").replace("<", "&lt;")
            rows.append(f"| {registry.kind if i == 0 else ''} | `{name}` | {summary} |")
    return "\n".join(rows) + "\n"


def updated(text: str) -> str:
    """README.md's text with the table between its two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README}: the marks {BEGIN.strip()} and {END.strip()} are gone.")
    return before + begin + parts_table() + end + after


def main() -> int:
    """Returns: the exit code, 1 where --check finds the table out of date."""
    parser = argparse.ArgumentParser(prog="tools/readme_tables.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 where the table is old")
    options = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = updated(old)
    if options.check:
        return int(old != new)
    write_text(README, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
