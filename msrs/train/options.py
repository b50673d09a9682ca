"""The configuration of a training run, from all rooms that take part."""

from typing import Annotated, Literal

import pydantic

from msrs.config import config
from msrs.data.augment import AugmentConfig
from msrs.data.batching import BatchingConfig
from msrs.models.recogniser import Modality, RecogniserConfig
from msrs.optim.optimizers import OptimizerConfig
from msrs.optim.schedules import ScheduleConfig
from msrs.sparse import SPARSE_METHODS

Count = Annotated[int, pydantic.Field(ge=1)]


@config
class LoopConfig:
    """The loop itself."""

    max_epochs: Count = 50
    clip_norm: float = 5.0  # of the gradient of all weights together
    accumulate: Count = 1  # batches that make one update
    precision: Literal["float32", "bfloat16"] = "float32"  # of the forward pass; weights stay float32
    validate_every_epochs: Count = 1
    save_every_updates: Count = 500  # a kill loses at most so much work; also saved at each validation
    average: Count = 5  # checkpoints that make the model, the best of the validations
    select_by: Literal["loss", "wer"] = "wer"  # what makes a checkpoint good: on the development set
    show_utterances: int = 3  # decoded beside their references at each validation
    watch_every_updates: Annotated[int, pydantic.Field(ge=0)] = 50  # gradients by layer, branch shares; 0: never
    num_workers: int = 0  # processes that prepare batches; 0: the training process itself
    cache_megabytes: int = 2000  # decoded video kept in memory (a process)


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
