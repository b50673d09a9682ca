"""Which process computes what of an update, so that their number never changes what is computed.

An update has the same batches however many processes there are. As many of them as there are processes are passed at
once, one each; what is left is split by utterances among several, which then normalise it together (`batch_norm`).
"""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Share:
    """One forward and backward pass of one process."""

    number: int  # of the batch in its update
    indices: tuple[int, ...]  # of utterances
    ranks: tuple[int, ...]  # processes that pass the batch, a part each
    is_counted: bool = True  # False: no utterance was left for this process, and it only keeps the others company

    @property
    def is_split(self) -> bool:
        """Whether other processes have parts of the batch."""
        return len(self.ranks) > 1


def width_of(num_batches: int, num_processes: int) -> int:
    """Processes that share a batch, where at most one batch a process is to be passed: all groups are equally wide.

    >>> [width_of(batches, 8) for batches in (1, 2, 3, 4, 5, 8)]
    [8, 4, 2, 2, 1, 1]
    """
    return max(w for w in range(1, num_processes + 1) if num_processes % w == 0 and w * num_batches <= num_processes)


def widths(num_batches: int, num_processes: int) -> list[int]:
    """How wide the groups of an update of so many batches are, from pass to pass.

    >>> widths(5, 2), widths(1, 4)
    ([1, 1, 2], [4])
    """
    starts = range(0, num_batches, num_processes)
    return [width_of(min(num_processes, num_batches - start), num_processes) for start in starts]


def deal(batches: Sequence[Sequence[int]], rank: int, num_processes: int, in_step: bool = False) -> list[Share]:
    """What process `rank` passes of an update.

    A process may come away with nothing; where all have to make the same passes (`in_step`), it then passes an
    utterance that is not counted.

    >>> [[share.indices for share in deal([[0, 1, 2], [3, 4], [5, 6, 7]], rank, 2)] for rank in (0, 1)]
    [[(0, 1, 2), (5, 7)], [(3, 4), (6,)]]
    >>> deal([[0], [1]], 2, 3), len(deal([[0], [1]], 2, 3, in_step=True))
    ([], 1)
    """
    shares = []
    for turn, width in enumerate(widths(len(batches), num_processes)):
        number = turn * num_processes + rank // width
        if number >= len(batches):
            if in_step:
                shares.append(Share(len(batches) - 1, tuple(batches[-1][:1]), (rank,), is_counted=False))
            continue
        # Neighbours in a batch are of similar length: every width-th gives parts of equal size.
        own = tuple(batches[number][rank % width :: width])
        first = rank - rank % width
        ranks = tuple(range(first, first + width))
        shares.append(Share(number, own or tuple(batches[number][:1]), ranks, bool(own)))
    return shares
