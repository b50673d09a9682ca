"""What a run ran on: versions, git revision, devices; written into results so that they can be made again."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import msrs

PACKAGES = ("torch", "torchaudio", "mediapipe", "av", "sentencepiece", "kaldiio", "jiwer", "numpy", "pydantic")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a number; an absent one is left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_revision() -> str:
    """Short revision of the checkout that this package lies in, `-dirty` appended where it is changed; else `unknown`."""
    root = Path(msrs.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def devices() -> list[str]:
    """Names of the devices torch can use, the CPU first with its number of threads."""
    import torch

    names = [f"cpu ({torch.get_num_threads()} threads of {os.cpu_count()})"]
    return names + [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def describe() -> dict[str, object]:
    """All of the above as plain values for `environment.json`."""
    return {
        "msrs": msrs.__version__,
        "git": git_revision(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "devices": devices(),
        "packages": package_versions(),
    }
