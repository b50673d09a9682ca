"""3x3 convolutions of many small maps on a CPU, as matrix products.

A CPU's convolution reads all the weights anew for each picture. Where the map is small and the weights do not fit into the
cache, as in ResNet-18's last stage (3x3 pixels, 9.4 MB), that halves its rate in float32, and in bfloat16 the gradient of
the weights takes several times as long as it should. Here every pixel is one product over all pictures, which reads them
once. The zeros beyond the border are left out as well: of the 81 pairs of pixels of a 3x3 map, 49 remain.
"""

import torch
from torch import Tensor

INPUT, TAP, TURNED_TAP, OUTPUT = range(4)


def _spans(size: int, stride: int, by: int, *others: int) -> list[tuple[slice, ...]]:
    """What a kernel of 3 with a border of 1 brings together along one axis, grouped by INPUT, TAP or OUTPUT.

    Args: size, of the input; others: what is asked for of each group. Returns: for each place of `by` a slice for each of
    `others`; places beyond the border are in none.

    >>> _spans(3, 1, OUTPUT, INPUT, TAP)
    [(slice(0, 2, 1), slice(1, 3, 1)), (slice(0, 3, 1), slice(0, 3, 1)), (slice(1, 3, 1), slice(0, 2, 1))]
    """
    num_outputs = (size - 1) // stride + 1
    met = [(o * stride + tap - 1, tap, 2 - tap, o) for o in range(num_outputs) for tap in range(3)]
    met = [places for places in met if 0 <= places[INPUT] < size]
    count = {INPUT: size, TAP: 3, OUTPUT: num_outputs}[by]
    return [
        tuple(_slice([places[other] for places in met if places[by] == number]) for other in others)
        for number in range(count)
    ]


def _slice(numbers: list[int]) -> slice:
    """The slice that takes rising numbers at even distances."""
    if not numbers:
        return slice(0, 0)
    return slice(numbers[0], numbers[-1] + 1, numbers[1] - numbers[0] if len(numbers) > 1 else 1)


def _products(x: Tensor, weight: Tensor, rows: list[tuple[slice, ...]], columns: list[tuple[slice, ...]]) -> Tensor:
    """A matrix product a pixel.

    Args: x (N, H, W, K); weight (3, 3, K, M); rows and columns: for each pixel of the result the places of x and the taps
    that meet there. Returns: (N, rows, columns, M).
    """
    result = x.new_empty(len(x), len(rows), len(columns), weight.shape[3])
    for column, (places_w, taps_w) in enumerate(columns):
        narrowed = weight[:, taps_w].contiguous()  # once a column: what the rows take of it need no copy
        for row, (places_h, taps_h) in enumerate(rows):
            patches = x[:, places_h, places_w].reshape(len(x), -1)
            torch.mm(patches, narrowed[taps_h].reshape(-1, weight.shape[3]), out=result[:, row, column])
    return result


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Args: x (N, H, W, C), weight (M, C, 3, 3). Returns: (N, H', W', M)."""
    width, channels = weight.shape[:2]
    # Two swaps of two axes: torch is several times as slow where it has to permute all three at once.
    taps = weight.reshape(width, channels, 9).transpose(1, 2).reshape(width, -1).t().contiguous()
    rows, columns = (_spans(size, stride, OUTPUT, INPUT, TAP) for size in x.shape[1:3])
    return _products(x, taps.view(3, 3, channels, width), rows, columns)


def to_input(gradient: Tensor, weight: Tensor, sizes: torch.Size, stride: int) -> Tensor:
    """Args: gradient (N, H', W', M), weight (M, C, 3, 3), sizes H and W. Returns: (N, H, W, C)."""
    width, channels = weight.shape[:2]
    taps = weight.reshape(-1, 9).t().contiguous().flip(0)  # turned round, so that they rise with an input's outputs
    rows, columns = (_spans(size, stride, INPUT, OUTPUT, TURNED_TAP) for size in sizes)
    return _products(gradient, taps.view(3, 3, width, channels), rows, columns)


def to_weight(gradient: Tensor, x: Tensor, stride: int) -> Tensor:
    """Args: gradient (N, H', W', M), x (N, H, W, C). Returns: (M, C, 3, 3)."""
    width, channels = gradient.shape[3], x.shape[3]
    result = x.new_empty(9, width, channels)
    rows, columns = (_spans(size, stride, TAP, INPUT, OUTPUT) for size in x.shape[1:3])
    for number in range(9):
        (from_h, to_h), (from_w, to_w) = rows[number // 3], columns[number % 3]
        slopes = gradient[:, to_h, to_w].reshape(-1, width)
        torch.mm(slopes.t(), x[:, from_h, from_w].reshape(-1, channels), out=result[number])
    return result.view(9, -1).t().contiguous().view(width, channels, 3, 3)
