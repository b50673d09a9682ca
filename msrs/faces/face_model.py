"""The face model's bundle: a configured file, the cache, its official address, or built from a wheel.

Always checked by SHA-256; written whole or not at all, so that several processes may fetch at once. Apache-2.0.
"""

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from msrs.errors import DependencyError
from msrs.faces.face_bundle import build_bundle
from msrs.files import atomic_path, sha256, write_text
from msrs.log import LOGGER

URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
KNOWN_SHA256 = {
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff": "the official bundle",
    "2cfbd9e0b4c15e037a3752fdaf9e17881a855b315eb91f91aaf0629ec4b5de06": "built from mediapipe 0.10.21",
}
WHEEL_SHA256 = "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5"
# One wheel for everybody: only its models are used, never its code, so the platform does not matter.
DOWNLOAD_WHEEL = (
    *("pip", "download", "mediapipe==0.10.21", "--no-deps", "--only-binary=:all:"),
    *("--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"),
)
VARIABLE = "MSRS_FACE_TASK"
TIMEOUT_SECONDS = 15
FETCH = "msrs-fetch-face-model"
NOTICE = """\
face_landmarker.task: MediaPipe face landmarker, {origin}.
Copyright The MediaPipe Authors. Licensed under the Apache License, Version 2.0
(http://www.apache.org/licenses/LICENSE-2.0).
"""
MODIFIED = """\
Modified: the outputs of face_landmark_with_attention.tflite are concatenated and put in order; no weight is changed.
"""


def cache_path() -> Path:
    """Where a fetched bundle is kept: $MSRS_CACHE, else $XDG_CACHE_HOME/msrs, else ~/.cache/msrs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("MSRS_CACHE") or Path(base) / "msrs") / "face_landmarker.task"


def resolve_face_model(path: str | Path | None = None, trust: bool = False) -> Path:
    """The bundle to use: `path`, else $MSRS_FACE_TASK, else the cache, which is filled where it is empty.

    Args: trust, take a configured file whose checksum is not a known one.
    Raises: DependencyError where a configured file is missing or another one, or none can be had.
    """
    configured = path or os.environ.get(VARIABLE)
    if configured:
        return _check_configured(Path(configured), f"${VARIABLE}" if not path else "the configured path", trust)
    cached = cache_path()
    if cached.is_file():
        if sha256(cached) in KNOWN_SHA256:
            return cached
        LOGGER.warning("%s is damaged and is fetched anew", cached)
    return fetch_face_model(cached)


def fetch_face_model(destination: str | Path, wheel: str | Path | None = None) -> Path:
    """Bring the bundle to `destination`: built from `wheel` where one is given, else the first way that works.

    Raises: DependencyError that says why each way failed and what can be done.
    """
    ways: list[tuple[str, Callable[[], bytes]]] = [
        ("download", _download),
        ("build from the mediapipe 0.10.21 wheel", _build_from_index),
    ]
    if wheel is not None:
        ways = [(f"build from {wheel}", lambda: build_bundle(wheel))]
    failures = []
    for name, way in ways:
        try:
            _write(Path(destination), way())
        except DependencyError as error:
            failures.append(f"{name}: {error}")
            LOGGER.info("face model: %s did not work: %s", name, error)
        else:
            LOGGER.info("face model: %s (%s)", destination, name)
            return Path(destination)
    reasons = "\n  ".join(failures)
    raise DependencyError(
        f"The face model cannot be had.\n  {reasons}\n"
        f"Run `{FETCH}` where there is a network and copy {destination} over, or bring a mediapipe 0.10.21 wheel\n"
        f"and run `{FETCH} --wheel FILE`. ${VARIABLE} may name the file, wherever it lies."
    )


def _check_configured(path: Path, where: str, trust: bool) -> Path:
    if not path.is_file():
        raise DependencyError(f"{path} ({where}): no such face model; without it one is fetched (`{FETCH}`).")
    found = sha256(path)
    if found not in KNOWN_SHA256 and not trust:
        known = "\n".join(f"  {digest}  {origin}" for digest, origin in KNOWN_SHA256.items())
        raise DependencyError(
            f"{path} ({where}) has the SHA-256\n  {found}\nwhich is not a known face model:\n{known}\n"
            "Give --trust-face-model if you want this one all the same."
        )
    return path


def _download() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read()
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise DependencyError(f"{URL}: {error}") from None


def _build_from_index() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *DOWNLOAD_WHEEL, "--disable-pip-version-check", "--quiet", "-d", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            why = told[-1] if told else "no reason given"
            raise DependencyError(f"`{' '.join(DOWNLOAD_WHEEL)}` failed: {why}") from None
        wheels = sorted(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or sha256(wheels[0]) != WHEEL_SHA256:
            raise DependencyError(f"the downloaded wheel is not the one with SHA-256 {WHEEL_SHA256}")
        return build_bundle(wheels[0])


def _write(destination: Path, bundle: bytes) -> None:
    """Give the bundle its final name only after its checksum was found to be a known one."""
    with atomic_path(destination) as temporary:
        temporary.write_bytes(bundle)
        digest = sha256(temporary)
        if digest not in KNOWN_SHA256:
            raise DependencyError(f"its SHA-256 is {digest}, not a known one; the file was not kept")
        notice = NOTICE.format(origin=KNOWN_SHA256[digest]) + (MODIFIED if "built" in KNOWN_SHA256[digest] else "")
        write_text(destination.with_name(destination.name + ".NOTICE"), notice)
