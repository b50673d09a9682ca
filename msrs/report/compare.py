"""Training runs side by side: the set of pictures that msrs-plot writes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from msrs.errors import StageError
from msrs.files import atomic_path
from msrs.log import LOGGER
from msrs.report.canvas import stack
from msrs.report.histograms import draw_histograms
from msrs.report.layer_pictures import draw_density, draw_gradient_flow, draw_signal_to_noise
from msrs.report.line_pictures import draw_learning_curves, draw_vision_gap
from msrs.report.runs import RunGroup, read_runs


@dataclass(frozen=True)
class Picture:
    """What it needs, of which it is drawn if any begins a name that a run has logged; and what draws it, or finds nothing."""

    needs: tuple[str, ...]
    draw: Callable[[Sequence[RunGroup]], Image.Image | None]


PICTURES = {
    "gradient_flow": Picture(("watch/grad_norm/",), draw_gradient_flow),
    "signal_to_noise": Picture(("watch/grad_snr/",), draw_signal_to_noise),
    "density": Picture(("sparse/density", "sparse/flips"), draw_density),
    "learning_curves": Picture(("dev/loss", "dev/wer", "train/loss"), draw_learning_curves),
    "vision_gap": Picture(("dev/vision_gap", "dev/blank_share", "watch/branch_share/"), draw_vision_gap),
    "histograms": Picture(("histogram/",), draw_histograms),
}


def draw_comparison(groups: Mapping[str, Sequence[Path]], out: str | Path, order: Sequence[str] = ()) -> list[Path]:
    """Draw every picture for which a run has numbers, each `<out>/<name>.png`, or all in one where `out` ends in `.png`.

    Args: groups, experiment folders by label; several are seeds of one method. order, all labels of several sets of
    pictures, so that a method has one colour in all of them; left out: those of groups.
    Returns: what was written. Raises: StageError where a folder or any number is missing; DataError.
    """
    runs = read_runs(groups, order)
    out = Path(out)
    drawn, written = [], []
    for name, picture in PICTURES.items():
        having = [run for run in runs if any(map(run.has, picture.needs))]
        image = picture.draw(having) if having else None
        if image is None:
            LOGGER.info("%s: no run has its numbers (%s...); passed over", name, "..., ".join(picture.needs))
            continue
        if len(having) < len(runs):
            LOGGER.info(
                "%s: without %s, which has no such numbers", name, ", ".join(r.label for r in runs if r not in having)
            )
        drawn.append(image)
        if out.suffix != ".png":
            written.append(_save(image, out / f"{name}.png"))
    if not drawn:
        raise StageError(f"{', '.join(groups)}: metrics.jsonl has no numbers to draw yet; let stage 4 (train) go on.")
    return written or [_save(stack(drawn, gap_px=40), out)]


def _save(image: Image.Image, path: Path) -> Path:
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)
    return path
