#!/usr/bin/env python3
"""The figures of tools/bench/gpu.sh as a page: every list of rows in its JSON files becomes a table.

tools/bench/gpu_table.py FOLDER > FOLDER/gpu.md
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

TITLES = {
    "device": "Device",
    "paths": "Fast paths against float64 on the CPU",
    "train": "Training throughput",
    "train_compiled": "Training throughput with torch.compile",
    "sparse": "Cost of sparse methods",
    "decode": "Decoding throughput",
    "lengths": "Time and memory against length",
    "grid": "Experiments on GRID",
}


def shown(value: object) -> str:
    """A cell."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def parts(value: object, name: str = "") -> Iterator[tuple[str, list[dict]]]:
    """(name, rows) of every table inside a JSON value; plain values make a table of one row."""
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        yield name, value
    elif isinstance(value, dict):
        plain = {key: item for key, item in value.items() if not isinstance(item, (dict, list))}
        if plain:
            yield name, [plain]
        for key, item in value.items():
            yield from parts(item, f"{name}, {key}" if name else key)


def table(rows: list[dict]) -> list[str]:
    """Lines of a markdown table; columns are the keys of all rows in the order of their coming."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(keys)} |", f"|{'---|' * len(keys)}"]
    return lines + [f"| {' | '.join(shown(row.get(key)) for key in keys)} |" for row in rows]


def main() -> int:
    """Entry point. Returns: the exit code."""
    folder = Path(sys.argv[1])
    lines = ["# Measured on a GPU", "", "Written by `tools/bench/gpu.sh`."]
    for name, title in TITLES.items():
        path = folder / f"{name}.json"
        lines += ["", f"## {title}", ""]
        if not path.exists():
            lines.append("Not done yet.")
            continue
        for part, rows in parts(json.loads(path.read_text(encoding="utf-8"))):
            lines += [f"{part}:" if part else "", "", *table(rows), ""]
        if (folder / f"{name}.png").exists():
            lines.append(f"![{title}]({name}.png)")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
