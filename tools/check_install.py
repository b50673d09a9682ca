#!/usr/bin/env python3
"""Does this installation work? Does a little of everything that the stages do, and says how to mend what fails."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETUP = "tools/setup_env.sh"


def show_versions() -> str:
    """What is installed; everything else needs torch, so that nothing is tried where it does not import."""
    from msrs.environment import describe

    about = describe()
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    return f"msrs {about['msrs']}, Python {about['python']}, {packages}; {', '.join(about['devices'])}"


def check_media(folder: Path) -> str:
    """Encode half a second of moving picture and tone, decode both."""
    import numpy as np

    from msrs.data.media import read_audio, read_video_array, write_video

    frames = np.zeros((13, 96, 96), np.uint8)
    for t, frame in enumerate(frames):
        frame[20:60, 5 * t : 5 * t + 20] = 200
    tone = np.sin(2 * np.pi * 440 * np.arange(13 * 640) / 16000).astype(np.float32) / 2
    write_video(folder / "clip.mp4", frames, audio=tone)
    seen = read_video_array(folder / "clip.mp4")
    heard = read_audio(folder / "clip.mp4")
    expect(seen.shape == frames.shape, f"{len(frames)} frames were written and {seen.shape} read")
    error = np.abs(seen.astype(int) - frames).mean()
    expect(error < 8, f"the picture that is read differs from the one written by {error:.1f} grey values")
    spectrum = np.abs(np.fft.rfft(heard[2000:6000]))
    loudest = spectrum.argmax() * 16000 / 4000
    expect(abs(loudest - 440) < 20, f"a tone of 440 Hz was written and one of {loudest:.0f} Hz read")
    return f"{len(seen)} frames of {seen.shape[2]}x{seen.shape[1]} and a tone written and read"


def check_face(folder: Path) -> str:
    """Find the face in a portrait that comes with the package, and compare with where it is known to be."""
    import numpy as np

    from msrs.faces.detectors import DETECTORS
    from msrs.faces.landmarks import to_68_points
    from msrs.synth.portraits import NAMES, load_portrait

    portrait = load_portrait(NAMES[0])
    picture = (portrait.picture[0].permute(1, 2, 0) * 255).round().byte().numpy()
    detector = DETECTORS["mediapipe"](DETECTORS["mediapipe"].Config())
    faces = next(iter(detector.detect("portrait", "nobody", [picture])))
    expect(len(faces) == 1, f"{len(faces)} faces were found in a picture of one")
    known = to_68_points(np.asarray(portrait.landmarks, np.float32) - 0.5, "portrait")
    off = float(np.linalg.norm(faces[0] - known, axis=1).mean())
    width = float(np.ptp(known[:, 0]))
    expect(off < 0.05 * width, f"the landmarks are {off:.0f} px away on average in a face {width:.0f} px wide")
    return f"found, {off:.1f} px from where it is known to be"


def check_archive(folder: Path) -> str:
    """Write an archive, read it back in another order."""
    import numpy as np

    from msrs.data.ark import ArkReader, ArkWriter

    values = {f"a-{i}": np.arange(50 * (i + 1), dtype=np.int16) for i in range(3)}
    values["v"] = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    with ArkWriter(folder / "x.ark", folder / "x.scp") as writer:
        for key, value in values.items():
            writer.write(key, value)
    reader = ArkReader(folder / "x.scp")
    for key in reversed(values):
        found = reader[key]
        expect(found.dtype == values[key].dtype and np.array_equal(found, values[key]), f"{key} came back changed")
    return f"{len(values)} entries written and read"


def check_units(folder: Path) -> str:
    """Learn the units of a few words, write and read text by them."""
    from msrs.text.tokenizer import Tokenizer, train_tokenizer

    train_tokenizer(["BIN BLUE AT F TWO NOW", "SET RED BY A ONE SOON"], folder / "units", "char", None)
    tokenizer = Tokenizer.load(folder / "units")
    text = tokenizer.decode(tokenizer.encode("SET BLUE"))
    expect(text == "SET BLUE", f"SET BLUE came back as {text}")
    return f"{tokenizer.size} units learnt"


def check_step(device: str) -> str:
    """Make training steps of a tiny audio-visual recogniser on one batch; its loss has to fall."""
    import torch

    from msrs.config import Document, build
    from msrs.data.dataset import Batch
    from msrs.models.recogniser import Recogniser, RecogniserConfig

    torch.manual_seed(1)
    torch.set_num_threads(1)  # so small a model only loses by waiting for threads
    sizes = {"num_blocks": 1, "num_heads": 2, "size": 16, "feed_forward_size": 32}
    values = {
        "video_frontend": {"type": "resnet", "widths": [16, 32], "blocks_per_stage": 1},
        "audio_frontend": {"type": "waveform", "widths": [4, 4, 8, 8], "blocks_per_stage": 1},
        "encoder": {"type": "conformer", "kernel": 7, **sizes},
        "decoder": {"type": "transformer", **sizes},
    }
    model = Recogniser(build(RecogniserConfig, Document(values, {}, "check_install")), "audiovisual", 8)
    frames = torch.tensor([12, 9])
    batch = Batch(
        utt_ids=["a", "b"],
        video=torch.rand(2, 12, 88, 88),
        video_lengths=frames,
        audio=torch.randn(2, 12 * 640),
        audio_lengths=frames * 640,
        tokens=torch.tensor([[2, 3, 4], [5, 6, 0]]),
        token_lengths=torch.tensor([3, 2]),
        texts=["", ""],
    ).to(device)
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = model(batch).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    expect(losses[-1] < losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}")
    return f"the loss fell from {losses[0]:.2f} to {losses[-1]:.2f}"


def check_speech(folder: Path) -> str:
    """Let the synthesiser of the embedded corpus say a word."""
    from msrs.synth.speech import SpeechRequest, speak

    speech = speak([SpeechRequest("seven", "en-us", 160, 50)])[0]
    expect(len(speech.samples) > 2000 and abs(speech.samples).max() > 0.05, "it said nothing")
    return f"{len(speech.phonemes)} phonemes in {len(speech.samples) / 16000:.2f} s"


def check_torchaudio(folder: Path) -> str:
    """Make a spectrogram with torchaudio, which is optional and does not import beside every torch."""
    import torch
    import torchaudio

    spectrogram = torchaudio.transforms.MelSpectrogram(16000, n_mels=20)(torch.randn(1, 4000))
    expect(bool(spectrogram.isfinite().all()), "its spectrogram is not finite")
    return f"torchaudio {torchaudio.__version__}"


def expect(is_right: bool, message: str) -> None:
    """Raises: RuntimeError with the message where the claim is false."""
    if not is_right:
        raise RuntimeError(message)


def run_check(name: str, work: Callable[[], str], remedy: str, is_optional: bool = False) -> bool:
    """Run one check, print its line. Returns: False where it failed and is not optional."""
    started = time.monotonic()
    try:
        answer = work()
    except Exception as error:  # whatever is broken, the other checks are still worth running
        print(f"{'absent' if is_optional else 'FAILED'}  {name}: {type(error).__name__}: {error}")
        print(f"        {'if you want it' if is_optional else 'to mend it'}: {remedy}")
        if not is_optional and not isinstance(error, (ImportError, OSError, RuntimeError)):
            traceback.print_exc()
        return is_optional
    print(f"ok      {name}: {answer} ({time.monotonic() - started:.1f} s)")
    return True


def run_checks() -> int:
    """All checks in turn. Returns: how many failed."""
    if not run_check("versions", show_versions, SETUP):
        return 1
    import torch

    pip = f"{sys.executable} -m pip install --only-binary=:all:"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [
            run_check("video and sound", lambda: check_media(folder), f"{pip} --force-reinstall 'av>=15'"),
            run_check("face", lambda: check_face(folder), f"msrs-fetch-face-model; {pip} mediapipe==0.10.31"),
            run_check("archive", lambda: check_archive(folder), f"{pip} --force-reinstall 'kaldiio>=2.18,<3'"),
            run_check("units", lambda: check_units(folder), f"{pip} --force-reinstall 'sentencepiece>=0.2,<0.3'"),
            run_check("training on the CPU", lambda: check_step("cpu"), SETUP),
        ]
        if torch.cuda.is_available():
            advice = f"{SETUP} --help (MSRS_TORCH): the CUDA build of torch has to fit the driver"
            results.append(run_check("training on the GPU", lambda: check_step("cuda"), advice))
        extra = f"{sys.executable} -m pip install '{ROOT}"
        run_check("speech of egs/mini", lambda: check_speech(folder), f"{extra}[synth]'", is_optional=True)
        run_check("torchaudio", lambda: check_torchaudio(folder), f"{extra}[torchaudio]'", is_optional=True)
    return results.count(False)


def enter_environment() -> None:
    """Start again with the environment's Python where this one does not have the package."""
    try:
        import msrs  # noqa: F401
    except ImportError:
        python = Path(os.environ.get("MSRS_VENV", ROOT / ".venv")) / "bin/python"
        if not python.exists() or Path(sys.prefix) == python.parent.parent:
            sys.exit(f"msrs is not installed here ({sys.executable}). To mend it: {SETUP}")
        os.execv(python, [str(python), __file__, *sys.argv[1:]])


def main() -> int:
    """Returns: the exit code, 1 where anything that is needed does not work."""
    parser = argparse.ArgumentParser(prog="tools/check_install.py", description=__doc__)
    parser.parse_args()
    enter_environment()
    failed = run_checks()
    print(
        "all that is needed works" if not failed else f"{failed} of the checks failed; what mends each stands under it"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
