"""Two decode folders of the same set against each other."""

from pathlib import Path

from msrs.errors import DataError
from msrs.score.edit import align, count
from msrs.score.result import read_counts, read_result
from msrs.score.significance import Comparison, compare_errors
from msrs.score.table import text_table
from msrs.score.trn import read_trn


def compare_folders(a: str | Path, b: str | Path, seed: int = 0) -> Comparison:
    """Word errors of B against those of A, both written by `write_score`.

    Raises: DataError where the rule sets, the utterances or the references differ: such rates cannot be compared.
    """
    rules_a, rules_b = (read_result(folder)["rules"] for folder in (a, b))
    if rules_a != rules_b:
        raise DataError(f"{a} and {b} were scored by different rules ({rules_a['name']}, {rules_b['name']}).")
    references, others = (read_trn(Path(folder) / "ref.trn") for folder in (a, b))
    if references != others:
        differing = sorted(
            name for name in references.keys() | others.keys() if references.get(name) != others.get(name)
        )
        raise DataError(f"{a} and {b} differ in {len(differing)} references, first {differing[0]}: not the same set.")
    names = sorted(references)
    errors, units = [], []
    for folder in (a, b):
        hypotheses = read_trn(Path(folder) / "hyp.trn")
        if hypotheses.keys() != references.keys():
            raise DataError(f"{folder}: hyp.trn and ref.trn list different utterances; run msrs-score again.")
        alignments = align([references[n] for n in names], [hypotheses[n] for n in names], "words")
        counts = [count(alignment) for alignment in alignments]
        errors.append([c.errors for c in counts])
        units = [c.units for c in counts]
    if not sum(units):
        raise DataError(f"{a}: the references have no words; nothing can be compared.")
    return compare_errors(*errors, units, seed=seed)


def describe(comparison: Comparison, a: str, b: str) -> str:
    """The comparison in two sentences, fit for a paper.

    >>> print(describe(Comparison(80, 12.3, 10.4, (-3.4, -0.4), 0.99, -2.5, 0.0124), "dense", "msrs"))
    msrs makes 1.9 points fewer word errors than dense (10.4 against 12.3 %, 80 utterances; 95 % interval of the \
difference -3.4 to -0.4, better in 99.0 % of paired bootstrap draws). Matched pairs: z = -2.50, p = 0.012, \
significant at 0.05.
    """
    change = (
        f"{abs(comparison.difference):.1f} points {'fewer' if comparison.difference < 0 else 'more'} word errors than"
    )
    claim = f"makes {change} {a}" if comparison.difference else f"makes as many word errors as {a}"
    low, high = comparison.interval
    p = f"p = {comparison.p:.3f}" if comparison.p >= 0.001 else "p < 0.001"
    verdict = "significant" if comparison.p < 0.05 else "not significant"
    return (
        f"{b} {claim} ({comparison.rate_b:.1f} against {comparison.rate_a:.1f} %, {comparison.num_utterances} "
        f"utterances; 95 % interval of the difference {low:.1f} to {high:.1f}, better in "
        f"{100 * comparison.share_better:.1f} % of paired bootstrap draws). "
        f"Matched pairs: z = {comparison.z:.2f}, {p}, {verdict} at 0.05."
    )


def compare_speakers(a: str | Path, b: str | Path) -> str:
    """A table of both word error rates by speaker."""
    speakers_a, speakers_b = (read_result(folder)["speakers"] for folder in (a, b))
    rows = []
    for speaker in sorted(speakers_a.keys() & speakers_b.keys()):
        counts = read_counts(speakers_a[speaker]), read_counts(speakers_b[speaker])
        rates = ["-" if c.rate is None else f"{c.rate:.1f}" for c in counts]
        rows.append([speaker, str(counts[0].sentences), str(counts[0].units), *rates])
    return text_table(["speaker", "Snt", "Wrd", "A", "B"], rows)
