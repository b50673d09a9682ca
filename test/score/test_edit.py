import random

import pytest

from msrs.score.edit import Counts, align, count, count_errors


def distance(a, b):
    """Textbook edit distance, the oracle."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_errors_are_the_edit_distance(unit):
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcd", k=draw.randint(0, 8))) for _ in range(200)]
    references, hypotheses = texts[:100], texts[100:]
    for a, b, alignment in zip(references, hypotheses, align(references, hypotheses, unit), strict=True):
        a, b = (a.split(), b.split()) if unit == "words" else (a, b)
        counts = count(alignment)
        assert counts.errors == distance(a, b)
        assert counts.units == len(a) == counts.correct + counts.substituted + counts.deleted
        assert counts.correct + counts.substituted + counts.inserted == len(b)
        assert [pair.reference for pair in alignment if pair.kind != "I"] == list(a)
        assert [pair.hypothesis for pair in alignment if pair.kind != "D"] == list(b)
        assert counts.wrong_sentences == (a != b)


def test_perfect():
    counts = count_errors(["bin blue", "at f"], ["bin blue", "at f"], "words")
    assert counts == Counts(sentences=2, units=4, correct=4)
    assert counts.rate == 0.0


def test_hopeless_is_above_100():
    counts = count_errors(["a", "b c"], ["x y z", "b c d e"], "words")
    assert counts == Counts(2, units=3, correct=2, substituted=1, deleted=0, inserted=4, wrong_sentences=2)
    assert counts.rate == pytest.approx(500 / 3)


def test_empty_sides():
    counts = count_errors(["a b", "", "", "c"], ["", "x y z", "", "c"], "words")
    assert counts == Counts(4, units=3, correct=1, deleted=2, inserted=3, wrong_sentences=2)
    assert count_errors([""], ["x"], "words").rate is None
    assert count_errors([], [], "characters") == Counts()


def test_corpus_rate_is_not_a_mean_of_rates():
    assert count_errors(["a", "b c d e f g h i j"], ["x", "b c d e f g h i j"], "words").rate == 10.0


def test_spaces_are_characters():
    assert count_errors(["ab c"], ["abc"], "characters") == Counts(1, 4, 3, 0, 1, 0, 1)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="must match"):
        align(["a", "b"], ["a"], "words")
