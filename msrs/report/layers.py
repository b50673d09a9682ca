"""Which of a run's numbers belong to whole blocks of its network, and in which order blocks stand."""

import re
from collections.abc import Iterable, Mapping

# From the input to the output; parts that are not named stand between the encoder and the heads.
PARTS = (r"frontend$", r"fusion$", r"encoder$", r"", r"ctc$", r"decoder$")
BLOCK = re.compile(r"(\w*encoder)\.(?:blocks|layers)\.(\d+)$")

Numbers = Mapping[str, Mapping[int, float]]


def blocks_of(metrics: Numbers, prefix: str) -> dict[str, Mapping[int, float]]:
    """The numbers of blocks below a prefix; a name is a block's if others (those of its tensors) begin with it and a dot.

    >>> list(blocks_of({"n/a.0": {}, "n/a.0.x.weight": {}, "n/b": {}, "m/c": {}}, "n/"))
    ['a.0']
    """
    names = {name.removeprefix(prefix): values for name, values in metrics.items() if name.startswith(prefix)}
    parents = {name.rsplit(".", k)[0] for name in names for k in range(1, name.count(".") + 1)}
    return {name: values for name, values in names.items() if name in parents}


def in_order(names: Iterable[str]) -> list[str]:
    """Front-ends, encoder, heads, decoder; within these as first met, numbered blocks by their numbers.

    >>> in_order(["decoder.blocks.0", "encoder.project", "encoder.blocks.2", "video_frontend.layers.0", "encoder.blocks.1"])
    ['video_frontend.layers.0', 'encoder.project', 'encoder.blocks.1', 'encoder.blocks.2', 'decoder.blocks.0']
    """
    names = list(dict.fromkeys(names))
    families: dict[str, int] = {}
    for name in names:
        families.setdefault(_split(name)[0], len(families))

    def key(name: str) -> tuple[int, int, int]:
        family, number = _split(name)
        return _rank(name.split(".")[0]), families[family], number

    return sorted(names, key=key)


def _split(name: str) -> tuple[str, int]:
    family, _, last = name.rpartition(".")
    return (family, int(last)) if last.isdigit() else (name, 0)


def _rank(part: str) -> int:
    named = [i for i, pattern in enumerate(PARTS) if pattern and re.search(pattern, part)]
    return named[0] if named else PARTS.index("")


def short_name(block: str) -> str:
    """What is written beside a row.

    >>> short_name("video_frontend.layers.4"), short_name("encoder.blocks.0"), short_name("decoder.output")
    ('video_frontend 4', 'encoder 0', 'decoder output')
    """
    return re.sub(r"\.(?:blocks|layers)\.(?=\d)", " ", block).replace(".", " ")


def first_and_last(blocks: Iterable[str]) -> dict[str, tuple[str, str]]:
    """By encoder the names of its first and its last block, where it has two or more.

    >>> first_and_last(["encoder.blocks.10", "encoder.blocks.2", "encoder.blocks.0", "decoder.blocks.0"])
    {'encoder': ('encoder.blocks.0', 'encoder.blocks.10')}
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for name in blocks:
        if match := BLOCK.match(name):
            found.setdefault(match[1], []).append((int(match[2]), name))
    return {encoder: (min(few)[1], max(few)[1]) for encoder, few in found.items() if len(few) > 1}


def first_over_last(blocks: Numbers, encoder: str) -> dict[int, float]:
    """The first block's number over the last one's, by update; where one of them is zero or missing the update is left out.

    >>> first_over_last({"encoder.blocks.0": {0: 1.0, 5: 0.0}, "encoder.blocks.1": {0: 4.0, 5: 4.0}}, "encoder")
    {0: 0.25}
    """
    ends = first_and_last(blocks).get(encoder)
    if ends is None:
        return {}
    first, last = (blocks[name] for name in ends)
    return {update: first[update] / last[update] for update in first if first[update] > 0 and last.get(update, 0) > 0}
