import json

import pytest
from PIL import Image

from msrs.errors import DataError
from msrs.report.curves import choose_panels, draw_curves, read_metrics


def write(path, *records, tail=""):
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail, encoding="utf-8")
    return path


@pytest.fixture
def metrics(tmp_path):
    records = [{"num_updates": u, "train": {"loss": 9.0 / u}, "lr": 1e-3, "density": 1 - u / 99} for u in range(1, 40)]
    records += [{"num_updates": u, "dev_loss": 1.0, "dev_wer": 50.0, "dev_cer": 20.0} for u in (10, 20, 30)]
    return write(tmp_path / "metrics.jsonl", *records)


def test_values_by_name_and_update(tmp_path):
    path = write(
        tmp_path / "m",
        {"event": "start", "note": 1},
        {"num_updates": 10, "dev": {"wer": 9.0, "best": True, "text": "x"}, "lr": 1},
        {"num_updates": 20, "dev": {"wer": 8.0}},
        {"num_updates": 10, "dev": {"wer": 7.0}},
        [1, 2],
        tail='{"num_updates": 30, "lr"',
    )
    assert read_metrics(path) == {"dev/wer": {10: 7.0, 20: 8.0}, "lr": {10: 1.0}}


def test_damage_in_the_middle_is_told(tmp_path):
    path = tmp_path / "m"
    path.write_text('{"num_updates": 1}\noops\n{"num_updates": 2}\n', encoding="utf-8")
    with pytest.raises(DataError, match="m:2: not a line of JSON"):
        read_metrics(path)


def test_panels_and_lines(metrics):
    panels = choose_panels(read_metrics(metrics))
    assert [(panel.title, [line.label for line in panel.lines]) for panel in panels] == [
        ("Loss", ["dev loss", "train loss"]),
        ("Errors on dev (%)", ["dev CER", "dev WER"]),
        ("Learning rate", ["lr"]),
        ("Density of masked weights", ["density"]),
    ]
    assert [panel.is_log for panel in panels] == [True, False, False, False]
    assert list(panels[1].lines[1].x) == [10, 20, 30]


def test_names_are_told_by_their_last_word():
    values = {1: 1.0, 2: 2.0}
    metrics = dict.fromkeys(["blower", "lossy", "dev/answer", "grad_norm", "a.b.ctc_loss"], values)
    assert [(panel.title, len(panel.lines)) for panel in choose_panels(metrics)] == [("Loss", 1)]


def test_losses_that_differ_little_or_are_negative_are_even():
    for values in ({1: 2.0, 2: 1.0}, {1: 90.0, 2: -1.0}):
        assert not choose_panels({"loss": values})[0].is_log


def test_lines_without_a_number_are_left_out():
    assert choose_panels({"loss": {1: float("nan"), 2: float("inf")}}) == []
    assert choose_panels({"loss": {1: float("nan"), 2: 3.0}})[0].is_log is False


def test_picture(metrics, tmp_path):
    assert draw_curves(metrics, tmp_path / "curves.png") is True
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000
    before = (tmp_path / "curves.png").read_bytes()
    draw_curves(metrics, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes() == before


def test_nothing_to_draw(tmp_path):
    assert draw_curves(write(tmp_path / "m"), tmp_path / "curves.png") is False
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("count", [None, "ten", {}])
def test_a_number_of_updates_that_is_none_is_told(tmp_path, count):
    path = write(tmp_path / "m", {"num_updates": 1, "lr": 1}, {"num_updates": count, "lr": 1})
    with pytest.raises(DataError, match="m:2: num_updates is .*, expected a whole number"):
        read_metrics(path)
