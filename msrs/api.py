"""The package from Python: a trained model that reads clips, batches and whole sets.

Three lines read a clip:

    from msrs.api import Recognizer
    recognizer = Recognizer.from_experiment("exp/train_grid")
    print(recognizer("clip.mp4")[0].text)
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from msrs.config import to_dict
from msrs.data.augment import prepare_audio, prepare_video
from msrs.data.cut import CutJob, cut_recording
from msrs.data.dataset import Batch, Utterance, UtteranceDataset, collate
from msrs.data.media import read_video_array
from msrs.data.noise import NoiseConfig, NoiseMixer, noise_digest, open_noise
from msrs.errors import ConfigError, MediaError
from msrs.faces.crop import CropJob, CropOptions, crop_recording
from msrs.faces.detectors import DETECTORS
from msrs.log import LOGGER
from msrs.models.recogniser import Recogniser
from msrs.search.beam import BeamSearch
from msrs.search.decode_set import decode_set, is_current
from msrs.search.hypothesis import Hypothesis
from msrs.search.options import SearchConfig
from msrs.stage_mark import StageMark
from msrs.text.tokenizer import Tokenizer
from msrs.train.checkpoint import load_model
from msrs.train.options import TrainConfig

LONG_SECONDS = 30.0  # beyond what most models have been trained on


class Transcript(NamedTuple):
    """A clip's text with its units, their ids and the hypothesis with its scores."""

    text: str
    tokens: list[str]
    token_ids: list[int]
    hypothesis: Hypothesis


class Recognizer:
    """A trained model with its tokenizer and a search.

    Args: model; tokenizer; training, the configuration of its run; search, options; device, a torch device;
    crop, how stage 1 cuts the mouth out of a raw clip.
    """

    def __init__(
        self,
        model: Recogniser,
        tokenizer: Tokenizer,
        training: TrainConfig,
        search: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
        device: str = "cpu",
        crop: CropOptions = CropOptions(),  # noqa: B008 - frozen
    ):
        self.model = model.to(device).eval()
        self.tokenizer, self.training, self.device, self.crop = tokenizer, training, device, crop
        self.search = BeamSearch.for_model(search, self.model)

    @classmethod
    def from_experiment(
        cls,
        exp: str | Path,
        search: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
        checkpoint: str = "average",
        device: str = "auto",
        crop: CropOptions = CropOptions(),  # noqa: B008 - frozen
    ) -> "Recognizer":
        """The model of an experiment folder. Args: checkpoint, a name in `checkpoints/`; device, auto, cpu or cuda.

        Raises: StageError where stage 4 has not been run or not ended; ConfigError where there is no such device.
        """
        model, tokenizer, training = load_model(exp, checkpoint)
        return cls(model, tokenizer, training, search, choose_device(device), crop)

    @torch.inference_mode()
    def recognise(self, batch: Batch) -> list[list[Hypothesis]]:
        """Hypotheses of each utterance of a batch, the best first; neighbours and padding change nothing."""
        return self.search(*self.model.encode(batch.to(self.device)))

    def open_set(self, feats: str | Path, noise: NoiseMixer | None = None) -> UtteranceDataset:
        """A dump of stage 2 as this model reads it, with the noise of `open_noise` where it is given.

        Raises: StageError where a stream is missing; ConfigError on noise for a model that cannot hear.
        """
        modality = self.training.modality
        if noise and modality == "video":
            raise ConfigError("the model takes in no sound, so noise cannot change what it reads; leave --noise out.")
        return UtteranceDataset(feats, lambda text: [], modality, self.training.augment, test_noise=noise)

    def __call__(self, video: str | Path | None = None, audio: str | Path | None = None) -> list[Transcript]:
        """Read a raw clip: any size and frame rate, a face somewhere in it. Returns: transcripts, the best first.

        Args: video, a media file; audio, one with the sound, by default the same.
        Raises: MediaError where a file cannot be used or shows no face; ConfigError where the model needs another one.
        """
        hypotheses = self.recognise(collate([self.read_clip(video, audio)]))[0]
        return [
            Transcript(
                self.tokenizer.decode(one.tokens), [self.tokenizer.units[i] for i in one.tokens], list(one.tokens), one
            )
            for one in hypotheses
        ]

    def read_clip(self, video: str | Path | None, audio: str | Path | None = None) -> Utterance:
        """Stages 1 and 2 on one clip: mouth crop, 25 frames and 16000 samples a second. Raises: see `__call__`."""
        modality = self.training.modality
        if video is None and (modality != "audio" or audio is None):
            raise ConfigError(f"the model is trained for {modality}; give it a file that has that.")
        sound = None if modality == "video" else str(audio or video)
        name = Path(video or audio).stem
        with tempfile.TemporaryDirectory(prefix="msrs-") as folder:
            crop = self._crop(name, str(video), Path(folder)) if modality != "audio" else None
            cut = cut_recording(CutJob(name, [(name, 0, None)], crop, sound))[0]
        if cut.reason:
            raise MediaError(f"{video or audio}: {cut.reason}")
        if cut.num_frames > LONG_SECONDS * 25:
            LOGGER.warning("%s: %.0f s long; models read sentences, so cut it", video or audio, cut.num_frames / 25)
        augment, pictures, samples = self.training.augment, None, None
        if cut.video is not None:
            pictures = prepare_video(read_video_array(cut.video.tobytes()), augment, 1.0, None)
        if cut.audio is not None:
            samples = prepare_audio(cut.audio, augment, 1.0, None)
        return Utterance(name, "", [], pictures, samples)

    def _crop(self, name: str, video: str, folder: Path) -> str:
        detector = DETECTORS.build(self.crop.detector)
        detector.prepare()
        path = str(folder / "crop.mp4")
        job = CropJob(name, name, video, path, str(folder / "face.npz"), "")
        try:
            quality = crop_recording(job, self.crop, detector)
        except MediaError as error:
            raise MediaError(str(error) if video in str(error) else f"{video}: {error}") from error
        for alarm in quality.alarms():
            LOGGER.warning("%s: %s", video, alarm)
        return path


def choose_device(name: str) -> str:
    """A torch device for auto, cpu or cuda. Raises: ConfigError where torch finds no GPU and one is asked for."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: torch finds no GPU; leave it out, or install a CUDA build of torch.")
    return name


def decode_experiment(
    exp: str | Path,
    feats: str | Path,
    name: str,
    search: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
    checkpoint: str = "average",
    device: str = "auto",
    noise: NoiseConfig | None = None,
    babble_from: str | Path | None = None,
) -> Path:
    """Decode a dump into `<exp>/decode_<name>/<set>`, or pass over one that is current. Returns: that folder.

    Args: noise, added to the sound, the same for every model; babble_from, the dump whose utterances make babble.
    Raises: StageError where stage 2 or 4 has not been run; ConfigError on a wrong name; see `open_noise`.
    """
    exp, feats = Path(exp), Path(feats)
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"--name {name!r} cannot name a folder below {exp}; expected a word without a slash.")
    folder = exp / f"decode_{name}" / feats.resolve().name
    source = Path(babble_from) if babble_from else None
    conditions = {"noise": to_dict(noise) | ({"babble_from": str(source)} if source else {})} if noise else {}
    inputs = {"sound of the noise": noise_digest(noise, feats, source)} if noise else {}
    mark = decoding_mark(exp, feats, folder, search, checkpoint, conditions | inputs)
    if is_current(folder, mark):
        return folder
    recognizer = Recognizer.from_experiment(exp, search, checkpoint, device)
    dataset = recognizer.open_set(feats, open_noise(noise, feats, source) if noise else None)
    LOGGER.info("%s, checkpoint %s, on %s, %s", exp, checkpoint, recognizer.device, search)
    decode_set(recognizer.recognise, recognizer.tokenizer.decode, dataset, search, folder, mark, conditions)
    return folder


def decoding_mark(
    exp: Path, feats: Path, folder: Path, search: SearchConfig, checkpoint: str, conditions: Mapping[str, object]
) -> StageMark:
    """What a decoded set depends on: model, tokenizer, dump and all options but those that only make it faster."""
    weights = Path(checkpoint) if checkpoint.endswith(".pt") else exp / "checkpoints" / f"{checkpoint}.pt"
    inputs: Sequence[Path] = (
        *(exp / "config.yaml", exp / "tokens" / "spm.model", weights),
        *(feats / name for name in (".done.dump.json", "utt2num_frames", "video.scp", "audio.scp")),
    )
    speed = {"batch_size", "batch_frames"}
    options = {key: value for key, value in to_dict(search).items() if key not in speed} | dict(conditions)
    return StageMark(folder, "decode", [path for path in inputs if path.is_file()], options)
