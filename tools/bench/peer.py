"""Auto-AVSR's model, built from a checkout of its source at any size; nothing of it is part of this project.

    git clone https://github.com/mpc001/auto_avsr && git -C auto_avsr checkout 182b628

Its model files ask for torch and numpy alone. Its package is called `espnet`, so it lives in a process of its own.
"""

import importlib
import sys
from pathlib import Path

from torch import Tensor, nn

from msrs.errors import ConfigError

MODEL_FILE = "espnet/nets/pytorch_backend/e2e_asr_conformer.py"
OUTPUT_SIZE = 512  # of its front-ends, which have one size


def build_peer(folder: Path, modality: str, sizes: dict[str, int], vocabulary_size: int) -> nn.Module:
    """Its recogniser with its own forward pass and losses.

    Its constructor knows one size, so the parts are put into an empty instance, made as that constructor makes them.
    Args: sizes: size, num_heads, feed_forward_size, num_blocks, num_decoder_blocks. Raises: ConfigError.
    """
    if not (folder / MODEL_FILE).exists():
        raise ConfigError(f"--peer {folder}: no {MODEL_FILE} in it; expected a checkout of github mpc001/auto_avsr.")
    sys.path.insert(0, str(folder.resolve()))
    source = importlib.import_module("espnet.nets.pytorch_backend.e2e_asr_conformer")
    model = source.E2E.__new__(source.E2E)
    nn.Module.__init__(model)
    size = sizes["size"]
    same = {"attention_dim": size, "attention_heads": sizes["num_heads"], "linear_units": sizes["feed_forward_size"]}
    model.modality = modality
    model.frontend = source.video_resnet() if modality == "video" else source.audio_resnet()
    model.proj_encoder = nn.Linear(OUTPUT_SIZE, size)
    model.encoder = source.ConformerEncoder(**same, num_blocks=sizes["num_blocks"], cnn_module_kernel=31)
    model.decoder = source.TransformerDecoder(odim=vocabulary_size, **same, num_blocks=sizes["num_decoder_blocks"])
    model.blank, model.ignore_id, model.odim = 0, -1, vocabulary_size
    model.sos = model.eos = vocabulary_size - 1
    model.ctc_weight = 0.1
    model.ctc = source.CTC(vocabulary_size, size, 0.1, reduce=True)
    model.criterion = source.LabelSmoothingLoss(vocabulary_size, -1, 0.1, False)
    return model


def peer_loss(model: nn.Module, values: Tensor, lengths: Tensor, tokens: Tensor) -> Tensor:
    """The loss of its training step on one device.

    Args: values (B, T, H, W) pixels or (B, S) samples; lengths (B,) of them; tokens (B, U), -1 on padding.
    """
    values = values[:, :, None] if values.dim() == 4 else values[..., None]
    return model(values, lengths, tokens)[0] / len(values)
