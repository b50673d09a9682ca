import pytest

from msrs.errors import ConfigError
from msrs.synth.plan import DIGITS, CorpusOptions, plan_corpus
from msrs.synth.speakers import HELD_OUT, SEEN


def test_no_sentence_comes_twice_and_every_digit_often():
    plan = plan_corpus(CorpusOptions())
    assert len(plan) == 480
    assert len({clip.text for clip in plan}) == len({clip.utt_id for clip in plan}) == 480
    assert {len(clip.text.split()) for clip in plan} == {3, 4, 5}
    words = [word for clip in plan if clip.set_name == "train" for word in clip.text.split()]
    assert set(words) == set(DIGITS)
    assert min(words.count(digit) for digit in DIGITS) > 80


def test_held_out_speakers_are_in_their_own_set_only():
    by_set = {}
    for clip in plan_corpus(CorpusOptions()):
        by_set.setdefault(clip.set_name, set()).add(clip.speaker)
        assert clip.utt_id.startswith(f"{clip.speaker}-")
    seen = {speaker.name for speaker in SEEN}
    assert by_set == {"train": seen, "dev": seen, "test": seen, "heldout": {speaker.name for speaker in HELD_OUT}}


def test_the_plan_is_the_seeds():
    assert plan_corpus(CorpusOptions(seed=3)) == plan_corpus(CorpusOptions(seed=3))
    assert plan_corpus(CorpusOptions(seed=3)) != plan_corpus(CorpusOptions(seed=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CorpusOptions(min_digits=5, max_digits=3), "expected 1 <= --min-digits <= --max-digits"),
        (CorpusOptions(min_digits=1, max_digits=2), "480 different sentences .* at most 55 can be had"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        plan_corpus(options)
