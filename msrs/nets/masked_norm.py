"""Batch normalisation whose statistics see valid frames alone."""

from torch import Tensor

from msrs.batch_norm import BatchNorm1d
from msrs.lengths import pack_valid, unpack_valid


class MaskedBatchNorm(BatchNorm1d):
    """BatchNorm1d over channels-last sequences that counts no padded frame, in training as in evaluation.

    With plain batch normalisation the statistics of a training batch depend on how much padding its neighbours
    bring; here they are those of the frames themselves, so a batch's content is all that matters.
    """

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Args: values (B, T, C), mask (B, T) bool, True on valid frames. Returns: (B, T, C), zero on padding."""
        return unpack_valid(super().forward(pack_valid(values, mask)), mask)
