import numpy as np
import pytest

from msrs.synth.visemes import GLIDES, NEUTRAL, REST, VISEMES, Mouth, Phoneme, mouth_track

FPS = 25


def say(*names, length=0.1):
    return [Phoneme(0.2 + i * length, 0.2 + (i + 1) * length, name) for i, name in enumerate(names)]


def column(track, name):
    return track[:, Mouth._fields.index(name)]


def test_the_mouth_is_at_rest_before_and_after_the_words():
    track = mouth_track(say("f", "aI", "v"), 30, FPS)
    assert track.shape == (30, len(Mouth._fields))
    np.testing.assert_allclose(track[-10:], np.tile(REST, (10, 1)))
    np.testing.assert_allclose(track[0], REST)


def test_without_speech_the_mouth_rests():
    np.testing.assert_allclose(mouth_track([], 5, FPS), np.tile(REST, (5, 1)))


def test_lips_meet_in_every_closure_even_a_short_one():
    for start in np.arange(0.2, 0.28, 0.01):
        phonemes = [Phoneme(0, start, "A:"), Phoneme(start, start + 0.07, "m"), Phoneme(start + 0.07, 0.8, "A:")]
        assert column(mouth_track(phonemes, 20, FPS), "press").max() > 0.9


def test_open_vowels_open_and_rounded_ones_round():
    five, two = mouth_track(say("f", "aI", "v"), 20, FPS), mouth_track(say("t", "u:"), 20, FPS)
    assert column(five, "open").max() > 0.9
    assert column(two, "open").max() < 0.4
    assert column(two, "spread").min() < -0.8
    assert column(five, "tuck").max() > 0.8


def test_a_long_pause_closes_the_mouth_and_a_short_one_does_not():
    def least_open(pause_seconds):
        end = 0.4 + pause_seconds
        phonemes = [Phoneme(0.1, 0.4, "A:"), Phoneme(0.4, end, "_:"), Phoneme(end, end + 0.3, "A:")]
        opening = column(mouth_track(phonemes, 40, FPS), "open")
        return opening[int(0.4 * FPS) : int(end * FPS) + 1].min()

    assert least_open(0.3) < 0.1
    assert least_open(0.08) > 0.9


def test_an_unknown_phoneme_is_a_neutral_vowel():
    np.testing.assert_array_equal(mouth_track(say("?!"), 15, FPS), mouth_track(say("@"), 15, FPS))
    assert VISEMES["@"] is NEUTRAL


@pytest.mark.parametrize("mouth", [*VISEMES.values(), *(mouth for pair in GLIDES.values() for mouth in pair)])
def test_shapes_stay_in_their_bounds(mouth):
    assert -1 <= mouth.spread <= 1
    assert all(0 <= value <= 1 for name, value in mouth._asdict().items() if name != "spread")
