"""One scored set: normalise, align, count, and leave the files that decode folders hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msrs.config import to_dict
from msrs.errors import DataError, StageError
from msrs.files import write_text
from msrs.score.edit import Counts, Pair, Unit, align, count
from msrs.score.significance import LEVEL, NUM_DRAWS, bootstrap_interval
from msrs.score.table import find_confusions
from msrs.score.trn import format_alignments, trn_id, write_trn
from msrs.text.normalise import Rules, normalise_all

_TOLD = 5  # ids named in a message


@dataclass(frozen=True)
class Score:
    """A scored set; all lists follow `utt_ids`, which are sorted."""

    rules: Rules
    utt_ids: list[str]
    speakers: list[str]
    references: list[str]  # after normalisation, as are the hypotheses
    hypotheses: list[str]
    alignments: list[list[Pair]]  # of words
    words: list[Counts]
    characters: list[Counts]
    missing: list[str]  # utterances without a hypothesis: all their words are deleted
    empty: list[str]  # utterances whose reference has no words: what is written for them is inserted

    def total(self, unit: Unit) -> Counts:
        """Counts over the set."""
        return sum(self._counts(unit), Counts())

    def interval(self, unit: Unit, seed: int = 0) -> tuple[float, float] | None:
        """95 % bootstrap interval of the error rate, in per cent."""
        counts = self._counts(unit)
        return bootstrap_interval([c.errors for c in counts], [c.units for c in counts], seed)

    def by_speaker(self) -> dict[str, Counts]:
        """Word counts of each speaker."""
        result: dict[str, Counts] = {}
        for speaker, counts in zip(self.speakers, self.words, strict=True):
            result[speaker] = result.get(speaker, Counts()) + counts
        return result

    def _counts(self, unit: Unit) -> list[Counts]:
        return self.words if unit == "words" else self.characters


def score(
    references: Mapping[str, str], hypotheses: Mapping[str, str], rules: Rules, utt2spk: Mapping[str, str] | None = None
) -> Score:
    """Score hypotheses against references, both by utterance id and as written.

    Args: utt2spk, speaker by utterance; None takes what stands before the first `-` of the id.
    Raises: DataError on a hypothesis without a reference, no reference at all, or an utterance without a speaker.
    """
    _check_ids(references, hypotheses, utt2spk)
    utt_ids = sorted(references)
    right, empty = normalise_all({utt_id: references[utt_id] for utt_id in utt_ids}, rules)
    written, _ = normalise_all({utt_id: hypotheses.get(utt_id, "") for utt_id in utt_ids}, rules)
    pair = list(right.values()), list(written.values())
    alignments = align(*pair, "words")
    return Score(
        rules=rules,
        utt_ids=utt_ids,
        speakers=[utt2spk[utt_id] if utt2spk else utt_id.partition("-")[0] for utt_id in utt_ids],
        references=pair[0],
        hypotheses=pair[1],
        alignments=alignments,
        words=[count(alignment) for alignment in alignments],
        characters=[count(alignment) for alignment in align(*pair, "characters")],
        missing=[utt_id for utt_id in utt_ids if utt_id not in hypotheses],
        empty=empty,
    )


def _check_ids(references: Mapping[str, str], hypotheses: Mapping[str, str], utt2spk: Mapping[str, str] | None) -> None:
    if not references:
        raise DataError("the reference has no utterance; nothing can be scored.")
    extra = sorted(hypotheses.keys() - references.keys())
    if extra:
        told = ", ".join(extra[:_TOLD])
        raise DataError(f"{len(extra)} hypotheses have no reference, first {told}; are both of the same set?")
    orphans = sorted(references.keys() - utt2spk.keys()) if utt2spk is not None else []
    if orphans:
        raise DataError(f"{len(orphans)} utterances have no speaker in utt2spk, first {', '.join(orphans[:_TOLD])}.")


def write_score(folder: str | Path, score: Score, record: Mapping[str, object], seed: int = 0) -> dict[str, Any]:
    """Write ref.trn, hyp.trn, alignment.txt and, last, result.json. Returns: what result.json holds.

    Args: record, what result.json says beside the counts (command, environment, options of the search); seed of the
    bootstrap. Raises: DataError where two utterances would share a name in the trn files.
    """
    folder = Path(folder)
    names = [trn_id(speaker, utt_id) for speaker, utt_id in zip(score.speakers, score.utt_ids, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{twice[0]}: two utterances are called so in trn files; make the ids begin with the speaker.")
    (folder / "result.json").unlink(missing_ok=True)  # a killed run leaves no result beside files of another
    write_trn(folder / "ref.trn", dict(zip(names, score.references, strict=True)))
    write_trn(folder / "hyp.trn", dict(zip(names, score.hypotheses, strict=True)))
    aligned = format_alignments(zip(names, score.alignments, strict=True), score.rules.case != "keep")
    write_text(folder / "alignment.txt", aligned)
    result = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **record,
        "rules": to_dict(score.rules),
        **{unit: _summary(score, unit, seed) for unit in ("words", "characters")},
        "bootstrap": {"level": LEVEL, "draws": NUM_DRAWS, "seed": seed},
        "speakers": {speaker: asdict(counts) for speaker, counts in sorted(score.by_speaker().items())},
        "confusions": find_confusions(score.alignments),
        "missing": score.missing,
        "empty_references": score.empty,
    }
    write_text(folder / "result.json", json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    return result


def _summary(score: Score, unit: Unit, seed: int) -> dict[str, object]:
    counts = score.total(unit)
    return {**asdict(counts), "rate": counts.rate, "interval": score.interval(unit, seed)}


def read_result(folder: str | Path) -> dict[str, Any]:
    """The result.json of a folder. Raises: StageError if there is none, DataError if it is not one of ours."""
    path = Path(folder) / "result.json"
    if not path.is_file():
        raise StageError(f"{folder}: no result.json; run stage 5 (msrs-decode, msrs-score).")
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        for unit in ("words", "characters"):
            read_counts(result[unit])
            _low, _high = result[unit]["interval"] or (0.0, 0.0)
        for entry in (
            result.get("environment", {}).get("packages", {}),
            result.get("options", {}),
            result.get("rules", {}),
        ):
            dict(entry)
        return result
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a result of msrs-score ({error!r}); run msrs-score again, or delete it."
        ) from None


def read_counts(values: Mapping[str, object]) -> Counts:
    """Counts from their entry in result.json."""
    return Counts(**{name: int(values[name]) for name in Counts.__dataclass_fields__})
