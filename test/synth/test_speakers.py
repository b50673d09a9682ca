from msrs.synth.speakers import HELD_OUT, SEEN, SPEAKERS


def test_names_voices_and_looks_are_all_different():
    everyone = SEEN + HELD_OUT
    assert len(SPEAKERS) == len(everyone)
    assert len({speaker.voice.name for speaker in everyone}) == len(everyone)
    assert len({speaker.look for speaker in everyone}) == len(everyone)


def test_there_are_enough_speakers_to_learn_from_and_to_be_tested_on():
    assert len(SEEN) >= 6
    assert len(HELD_OUT) >= 2
    assert {speaker.look.portrait for speaker in SEEN} == {speaker.look.portrait for speaker in HELD_OUT}
    seen = {(speaker.look.portrait, speaker.look.blend) for speaker in SEEN}
    assert all((speaker.look.portrait, speaker.look.blend) not in seen for speaker in HELD_OUT)
