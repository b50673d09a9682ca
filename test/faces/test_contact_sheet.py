import dataclasses

import numpy as np
import pytest

from msrs.data.media import write_video
from msrs.faces.contact_sheet import MAX_RECORDINGS, MAX_WORST, choose_recordings, write_contact_sheet
from msrs.faces.quality import Quality

GOOD = Quality("r", 20, 25.0, 256, 240, 1.0, 0, 0, 1, 1, 120.0, 1.0, 0.2, 3.0, 0.0, 120.0, 0.0, 3.0)


def set_of(count: int, bad: int) -> list[Quality]:
    shares = [0.5 + i / (10 * count) if i < bad else 1.0 for i in range(count)]
    return [dataclasses.replace(GOOD, recording=f"r{i:03}", found_share=share) for i, share in enumerate(shares)]


def test_few_recordings_are_all_shown():
    assert [one.recording for one in choose_recordings(set_of(5, 0))] == [f"r{i:03}" for i in range(5)]


def test_worst_come_first_and_the_rest_is_spread_evenly():
    chosen = choose_recordings(set_of(1000, 40))
    names = [one.recording for one in chosen]
    assert len(names) == len(set(names)) == MAX_RECORDINGS
    assert names[:MAX_WORST] == [f"r{i:03}" for i in range(MAX_WORST)]
    places = np.array([int(name[1:]) for name in names[MAX_WORST:]])
    assert places[-1] == 999
    assert np.diff(places).min() > 15


@pytest.mark.parametrize("count", [1, 3, 6])
def test_sheet_shows_every_recording_and_marks_alarms(tmp_path, count):
    from PIL import Image

    qualities = set_of(count, 1)
    videos = {}
    for i, one in enumerate(qualities):
        videos[one.recording] = str(tmp_path / f"{one.recording}.mp4")
        write_video(videos[one.recording], np.full((1 + 3 * i, 96, 96), 60 + 20 * i, np.uint8))
    write_contact_sheet(tmp_path / "sheet.png", videos, qualities)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    for i in range(count):
        y, x = i // 4 * 128 + 60, i % 4 * 486
        strip = sheet[y, x + 10 : x + 470]
        assert np.abs(strip - (60 + 20 * i)).max() <= 4
        assert (sheet[i // 4 * 128, x + 200].tolist() == [200, 0, 0]) == (i == 0)
