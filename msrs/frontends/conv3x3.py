"""The 3x3 convolution of the residual blocks, each computed in the way that is fastest where it is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msrs.frontends import small_maps, winograd

# Where matrix products are the faster way; measured on cores with AVX-512 and 1 to 2 MB of cache.
MAX_PIXELS = 16
MIN_CHANNEL_PAIRS = 2**16
MIN_PICTURES = 64
# Where Winograd's filtering is.
MIN_CHANNELS = 128


class Conv3x3(nn.Conv2d):
    """torch's Conv2d with a 3x3 kernel, a border of 1, stride 1 or 2 and no bias, in a faster way where there is one.

    All ways give the same to rounding; which one it is depends on device, type and sizes alone, and, for Winograd's, which
    rounds worst, on training: what a model answers does not hang on it.
    """

    def __init__(self, channels: int, width: int, stride: int = 1):
        super().__init__(channels, width, 3, stride, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, C, H, W). Returns: (N, width, H / stride, W / stride), rounded up."""
        weight, stride = self.weight, self.stride[0]
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        if self.training and by_winograd(x, weight, stride):
            way = Winograd
        elif by_products(x, weight, stride):
            way = SmallMaps
        else:
            return F.conv2d(x, weight, None, stride, 1)
        with torch.autocast("cpu", enabled=False):
            return way.apply(x, weight, stride)


def by_winograd(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether Winograd's filtering is the fastest way. Args: x (N, C, H, W), weight (M, C, 3, 3)."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and stride == 1 and min(weight.shape[:2]) >= MIN_CHANNELS


def by_products(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether a matrix product a pixel is the faster way. Args: x (N, C, H, W), weight (M, C, 3, 3)."""
    num_pixels = ((x.shape[2] - 1) // stride + 1) * ((x.shape[3] - 1) // stride + 1)
    return (
        x.device.type == "cpu"
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _has_fast_bfloat16()))
        and num_pixels <= MAX_PIXELS
        and weight.shape[0] * weight.shape[1] >= MIN_CHANNEL_PAIRS
        and len(x) >= MIN_PICTURES
    )


def _has_fast_bfloat16() -> bool:
    """Whether torch's matrix products in bfloat16 are more than a plain loop on this processor."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class SmallMaps(torch.autograd.Function):
    """The convolution by a matrix product a pixel; sums are held in float32 or better, as in a convolution."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """Args: x (N, C, H, W), weight (M, C, 3, 3) of the same type, stride 1 or 2. Returns: (N, M, H', W')."""
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return small_maps.convolve(x.permute(0, 2, 3, 1), weight, stride).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable(ctx, gradient), None
        gradient, to_x, to_weight = gradient.permute(0, 2, 3, 1).contiguous(), None, None
        if ctx.needs_input_grad[0]:
            to_x = small_maps.to_input(gradient, weight, x.shape[2:], ctx.stride).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            to_weight = small_maps.to_weight(gradient, x.permute(0, 2, 3, 1), ctx.stride)
        return to_x, to_weight, None


class Winograd(torch.autograd.Function):
    """The convolution by Winograd's filtering."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """Args: x (N, C, H, W), weight (M, C, 3, 3) of the same type, stride 1. Returns: (N, M, H, W)."""
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return winograd.convolve(x.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable(ctx, gradient), None
        gradient, x = gradient.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1)
        to_x, to_weight = winograd.gradients(gradient, x, weight, ctx.needs_input_grad)
        return None if to_x is None else to_x.permute(0, 3, 1, 2), to_weight, None


def _differentiable(ctx, gradient: Tensor) -> list[Tensor | None]:
    """torch's own gradients, which have gradients themselves, as GraSP wants them."""
    x, weight = ctx.saved_tensors
    settings = ([ctx.stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [*ctx.needs_input_grad[:2], False])
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *settings)[:2]
