"""What tests of several rooms share: where the optional outside things are, or why a test is passed over."""

import os
import socket
import subprocess
import sys
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


@pytest.fixture(scope="session")
def run_processes():
    """Run a Python program in several processes that can form a process group; each gets the given words."""

    def run(program: str, size: int, *words: str, timeout: float = 300) -> list[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program, *words]
        processes = [
            subprocess.Popen(
                command, cwd=ROOT, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for rank in range(size)
        ]  # fmt: skip
        try:
            outputs = [process.communicate(timeout=timeout)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
        codes = [process.returncode for process in processes]
        assert codes == [0] * size, "\n".join(f"process {rank}:\n{text}" for rank, text in enumerate(outputs))
        return outputs

    return run
