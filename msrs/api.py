"""The package from Python: a trained model that reads clips, batches and whole sets.

Three lines read a clip:

    from msrs.api import Recognizer
    recognizer = Recognizer.from_experiment("exp/train_grid")
    print(recognizer("clip.mp4")[0].text)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from msrs.config import load_document, to_dict
from msrs.data.augment import Streams, warn_if_never_dropped
from msrs.data.cut import FPS, to_frames
from msrs.data.dataset import Batch, UtteranceDataset, collate
from msrs.data.noise import NoiseConfig, NoiseMixer, noise_digest, open_noise
from msrs.errors import ConfigError
from msrs.faces.clip import ClipReader
from msrs.faces.crop import CropOptions
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
from msrs.train.record import longest_seconds
from msrs.train.updates import frame_lengths

USUAL_SECONDS = 16.0  # the longest utterance of training where that is not known, as is the practice with LRS3
SLACK = 1.25  # a sentence that is a little longer than all of training's is better read whole
MOST_SECONDS = 30.0  # however long a model's longest utterance was: that one may have stood alone


class Transcript(NamedTuple):
    """A clip's text with its units, their ids and the hypothesis with its scores."""

    text: str
    tokens: list[str]
    token_ids: list[int]
    hypothesis: Hypothesis


class Piece(NamedTuple):
    """What is said in a stretch of a recording, the best first."""

    start_seconds: float
    end_seconds: float
    transcripts: list[Transcript]


class Recognizer:
    """A trained model with its tokenizer and a search.

    Args: model; tokenizer; training, the configuration of its run; search, options; device, a torch device;
    crop, how stage 1 cuts the mouth out of a raw clip; max_seconds, what is longer is cut into pieces at pauses;
    streams, what an audio-visual model is to read, the other one being zero as `augment.drop_video` and `drop_audio` make it
    in training. None: both, but of a clip that has no sound the pictures alone.
    Raises: ConfigError on pieces of less than a second, and on streams that the model does not take in.
    """

    def __init__(
        self,
        model: Recogniser,
        tokenizer: Tokenizer,
        training: TrainConfig,
        search: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
        device: str = "cpu",
        crop: CropOptions = CropOptions(),  # noqa: B008 - frozen
        max_seconds: float = USUAL_SECONDS,
        streams: Streams | None = None,
    ):
        if not max_seconds >= 1:
            raise ConfigError(f"--max-seconds {max_seconds:g}: a piece has to be a second long or more; 16, say.")
        check_streams(training, streams)
        self.streams = streams
        self.model = model.to(device).eval()
        self.tokenizer, self.training, self.device = tokenizer, training, device
        self.search = BeamSearch.for_model(search, self.model)
        self.reader = ClipReader(training.modality, training.augment, crop, to_frames(max_seconds), streams)

    @classmethod
    def from_experiment(
        cls,
        exp: str | Path,
        search: SearchConfig = SearchConfig(),  # noqa: B008 - frozen
        checkpoint: str = "average",
        device: str = "auto",
        crop: CropOptions = CropOptions(),  # noqa: B008 - frozen
        max_seconds: float | None = None,
        streams: Streams | None = None,
    ) -> "Recognizer":
        """The model of an experiment folder.

        Args: checkpoint, a name in `checkpoints/`; device, auto, cpu or cuda; max_seconds, None: 1.25 times the longest
        utterance that the model was trained on, at most 30; streams, see the class.
        Raises: StageError where stage 4 has not been run or not ended; ConfigError where there is no such device.
        """
        model, tokenizer, training = load_model(exp, checkpoint)
        if max_seconds is None:
            longest = longest_seconds(exp)
            max_seconds = max(1.0, min(SLACK * longest, MOST_SECONDS)) if longest else USUAL_SECONDS
        return cls(model, tokenizer, training, search, choose_device(device), crop, max_seconds, streams)

    @torch.inference_mode()
    def recognise(self, batch: Batch) -> list[list[Hypothesis]]:
        """Hypotheses of each utterance of a batch, the best first; neighbours and padding change nothing."""
        return self.search(*self.model.encode(batch.to(self.device)))

    def open_set(self, feats: str | Path, noise: NoiseMixer | None = None) -> UtteranceDataset:
        """A dump of stage 2 as this model reads it, with the noise of `open_noise` where it is given.

        Raises: StageError where a stream is missing; ConfigError on noise for a model that cannot hear.
        """
        modality = self.training.modality
        if noise and "video" in (modality, self.streams):
            raise ConfigError("the model takes in no sound, so noise cannot change what it reads; leave --noise out.")
        return UtteranceDataset(
            feats, lambda text: [], modality, self.training.augment, test_noise=noise, streams=self.streams
        )

    def __call__(self, video: str | Path | None = None, audio: str | Path | None = None) -> list[Transcript]:
        """Read a raw clip: any size, frame rate and length, a face somewhere in it. Returns: transcripts, the best first.

        Args: video, a media file; audio, one with the sound, by default the same.
        Raises: MediaError where a file cannot be used or shows no face; ConfigError where the model needs another one.
        """
        return join_pieces(list(self.pieces(video, audio)), self.search.options.nbest)

    def pieces(self, video: str | Path | None = None, audio: str | Path | None = None) -> Iterator[Piece]:
        """As `__call__`, piece by piece as they are read; what is not longer than `max_seconds` is one piece."""
        for start, utterance in self.reader.read(video, audio):
            batch = collate([utterance])
            frames = int(frame_lengths(batch)[0])
            transcripts = [
                Transcript(
                    self.tokenizer.decode(h.tokens), [self.tokenizer.units[i] for i in h.tokens], list(h.tokens), h
                )
                for h in self.recognise(batch)[0]
            ]
            yield Piece(start / FPS, (start + frames) / FPS, transcripts)


def join_pieces(pieces: Sequence[Piece], most: int) -> list[Transcript]:
    """What is said in all pieces together: the best `most` combinations, by the sum of their scores."""
    joined = pieces[0].transcripts
    for piece in pieces[1:]:
        both = [_joined(one, other) for one in joined for other in piece.transcripts]
        joined = sorted(both, key=lambda one: -one.hypothesis.score)[:most]
    return joined


def _joined(one: Transcript, other: Transcript) -> Transcript:
    first, second = one.hypothesis, other.hypothesis
    scores = {name: value + second.scores[name] for name, value in first.scores.items()}
    hypothesis = Hypothesis(first.tokens + second.tokens, first.score + second.score, scores)
    text = " ".join(text for text in (one.text, other.text) if text)
    return Transcript(text, one.tokens + other.tokens, one.token_ids + other.token_ids, hypothesis)


def check_streams(training: TrainConfig, streams: Streams | None) -> None:
    """Warn where a model is to do without a stream that it never was without in training.

    Raises: ConfigError where it does not take in the streams that are asked for.
    """
    if streams not in (None, training.modality):
        if training.modality != "audiovisual":
            raise ConfigError(f"--streams {streams}: the model is trained for {training.modality} alone.")
        warn_if_never_dropped(training.augment, streams)


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
    streams: Streams | None = None,
) -> Path:
    """Decode a dump into `<exp>/decode_<name>/<set>`, or pass over one that is current. Returns: that folder.

    Args: noise, added to the sound, the same for every model; babble_from, the dump whose utterances make babble;
    streams, what an audio-visual model is to read, None: both.
    Raises: StageError where stage 2 or 4 has not been run; ConfigError on a wrong name, or one that another folder's noise
    has taken; see `open_noise`.
    """
    exp, feats = Path(exp), Path(feats)
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"--name {name!r} cannot name a folder below {exp}; expected a word without a slash.")
    folder = exp / f"decode_{name}" / feats.resolve().name
    source = Path(babble_from) if babble_from else None
    conditions = {"noise": to_dict(noise) | ({"babble_from": str(source)} if source else {})} if noise else {}
    conditions |= {"streams": streams} if streams not in (None, "audiovisual") else {}
    inputs = {"sound of the noise": noise_digest(noise, feats, source)} if noise else {}
    if noise and noise.folder:
        refuse_other_noise(folder, noise.folder)
    mark = decoding_mark(exp, feats, folder, search, checkpoint, conditions | inputs)
    if is_current(folder, mark):
        return folder
    recognizer = Recognizer.from_experiment(exp, search, checkpoint, device, streams=streams)
    dataset = recognizer.open_set(feats, open_noise(noise, feats, source) if noise else None)
    LOGGER.info("%s, checkpoint %s, on %s, %s", exp, checkpoint, recognizer.device, search)
    decode_set(recognizer.recognise, recognizer.tokenizer.decode, dataset, search, folder, mark, conditions)
    return folder


def refuse_other_noise(folder: Path, noise: str) -> None:
    """Raises: ConfigError where a set has been decoded there in the noise of another folder, which is there still."""
    told = folder / "search.yaml"
    before = (load_document(told).values.get("noise") or {}).get("folder") if told.is_file() else None
    if before and Path(before).is_dir() and not Path(before).samefile(noise):
        raise ConfigError(
            f"{folder} holds what was decoded in the noise of {before}, and {noise} would take its place, for its name is "
            f"the same. Give the noise another name (a link will do: ln -s {noise} NAME), or delete that folder."
        )


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
