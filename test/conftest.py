"""What tests of several rooms share: where the optional outside things are, or why a test is passed over."""

import os
from pathlib import Path

import pytest

from msrs.faces.face_model import VARIABLE, cache_path
from msrs.log import LOGGER, start_log

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def grid() -> Path:
    """A tree of GRID clips in the layout of its release: $MSRS_TEST_GRID, else ../shared/grid."""
    folder = Path(os.environ.get("MSRS_TEST_GRID", ROOT.parent / "shared/grid"))
    if not (folder / "video").is_dir():
        pytest.skip(f"no GRID clips in {folder}; MSRS_TEST_GRID may name a folder that has video/ and alignments/")
    return folder


@pytest.fixture(scope="session")
def face_model() -> Path:
    """The face model's file: $MSRS_FACE_TASK, else the cached one."""
    path = Path(os.environ.get(VARIABLE) or cache_path())
    if not path.is_file():
        pytest.skip(f"no face model in {path}; msrs-fetch-face-model brings it")
    return path


@pytest.fixture
def log(caplog):
    """caplog that hears the package's log, which does not reach the root logger."""
    start_log()
    LOGGER.addHandler(caplog.handler)
    yield caplog
    LOGGER.removeHandler(caplog.handler)
