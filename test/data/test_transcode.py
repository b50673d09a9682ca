"""The way round through the ffmpeg binary, with and without it. No ffmpeg is needed: a stand-in plays its part."""

import shutil
import sys
import types

import numpy as np
import pytest

from msrs.data.media import probe, read_video_array, write_video
from msrs.data.transcode import transcoded
from msrs.errors import MediaError


@pytest.fixture
def odd_file(tmp_path):
    """What PyAV cannot open, and what the stand-in makes of it."""
    write_video(tmp_path / "good.mp4", np.full((5, 32, 32), 99, np.uint8))
    (tmp_path / "odd.mp4").write_bytes(b"\x01" * 5000)
    return tmp_path / "odd.mp4"


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Function that puts an ffmpeg binary and package in place; returns the calls made to it."""

    def install(works=True, has_binary=True, has_package=True):
        calls = []

        class Error(Exception):
            pass

        class Job:
            def __init__(self, source, target, **options):
                self.source, self.target = source, target

            def run(self, quiet):
                calls.append(self.source)
                if not works:
                    raise Error("ffmpeg")
                shutil.copy(tmp_path / "good.mp4", self.target)

        module = types.SimpleNamespace(Error=Error, input=lambda path: path, output=Job)
        monkeypatch.setitem(sys.modules, "ffmpeg", module if has_package else None)
        monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if has_binary else None)
        return calls

    return install


def test_the_binary_helps_where_pyav_fails(odd_file, install):
    calls = install()
    assert read_video_array(odd_file).shape == (5, 32, 32)
    assert calls == [str(odd_file)]


def test_what_pyav_opens_never_goes_round(odd_file, install):
    calls = install()
    assert probe(odd_file.with_name("good.mp4")).width == 32
    assert calls == []


@pytest.mark.parametrize("lack", [{"has_binary": False}, {"has_package": False}, {"works": False}])
def test_without_help_the_first_error_stands(odd_file, install, lack):
    install(**lack)
    with pytest.raises(MediaError, match=r"odd\.mp4: not a recording that can be read"):
        probe(odd_file)


def test_the_copy_is_removed(odd_file, install):
    install()
    with transcoded(odd_file) as copy:
        assert copy.exists()
    assert not copy.parent.exists()
