"""The configuration of a training run, from all rooms that take part."""

from typing import Annotated, Literal

from pydantic import Field

from msrs.config import Free, config
from msrs.data.augment import AugmentConfig
from msrs.data.batching import BatchingConfig
from msrs.models.recogniser import Modality, RecogniserConfig
from msrs.optim.optimizers import OptimizerConfig
from msrs.optim.schedules import ScheduleConfig
from msrs.ranges import Count, Natural, NotNegative, Positive
from msrs.sparse import SPARSE_METHODS


@config
class LoopConfig:
    """The loop itself. What is `Free` may change between a stop and a restart of a run."""

    max_epochs: Count = 50
    clip_norm: Positive = 5.0  # of the gradient of all weights together
    accumulate: Count = 1  # batches that make one update
    precision: Literal["float32", "bfloat16"] = "float32"  # of the forward pass; weights stay float32
    validate_every_epochs: Free[Count] = 1
    save_every_updates: Free[Count] = 500  # a kill loses at most so much work; also saved at each validation
    average: Free[Count] = 5  # checkpoints that make the model, the best of the validations
    select_by: Literal["loss", "wer", "last"] = (
        "wer"  # what makes a checkpoint good: on the development set, or its age
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None  # decay of a running mean of weights; 0.999, say
    show_utterances: Free[Natural] = 3  # decoded beside their references at each validation
    gap_gate_share: Free[NotNegative] = 0.25  # of a lip reading run; then it warns
    watch_every_updates: Free[Natural] = 50  # gradients by layer; 0: never
    wandb: Free[str | None] = None  # project of Weights & Biases; WANDB_MODE=offline works without a network
    num_workers: Free[Natural] = 0  # processes that prepare batches; 0: the training process itself
    cache_megabytes: Free[Natural] = 2000  # decoded video kept in memory (a process)


@config
class TrainConfig:
    """Everything that `config.yaml` of a run holds."""

    modality: Modality = "audiovisual"
    seed: int = 1
    model: RecogniserConfig = RecogniserConfig()
    sparse: SPARSE_METHODS.config_type() = SPARSE_METHODS["none"].Config()
    augment: AugmentConfig = AugmentConfig()
    batching: BatchingConfig = BatchingConfig()
    optim: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    train: LoopConfig = LoopConfig()
