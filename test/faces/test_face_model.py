import hashlib
import os
import subprocess
import urllib.request

import numpy as np
import pytest

from msrs.errors import DependencyError
from msrs.faces import face_model as module
from msrs.faces.face_bundle import build_bundle, join_outputs, point_order
from msrs.faces.face_model import cache_path, fetch_face_model, resolve_face_model

BUILT = next(digest for digest, origin in module.KNOWN_SHA256.items() if "built" in origin)
BUNDLE = b"stands for a bundle"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A known bundle of a few bytes, an empty cache, no network and no index."""
    monkeypatch.setenv("MSRS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(module.VARIABLE, raising=False)
    monkeypatch.setattr(module, "KNOWN_SHA256", {hashlib.sha256(BUNDLE).hexdigest(): "built for a test"})

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr(subprocess, "run", no_network)


def test_configured_file_comes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch):
    for name in ("given", "variable"):
        (tmp_path / name).write_bytes(BUNDLE)
    cache_path().parent.mkdir()
    cache_path().write_bytes(BUNDLE)
    assert resolve_face_model() == cache_path()
    monkeypatch.setenv(module.VARIABLE, str(tmp_path / "variable"))
    assert resolve_face_model() == tmp_path / "variable"
    assert resolve_face_model(tmp_path / "given") == tmp_path / "given"


def test_unknown_file_is_refused_unless_trusted(tmp_path):
    other = tmp_path / "other.task"
    other.write_bytes(b"something else")
    with pytest.raises(DependencyError, match="not a known face model") as caught:
        resolve_face_model(other)
    assert hashlib.sha256(BUNDLE).hexdigest() in str(caught.value)
    assert "--trust-face-model" in str(caught.value)
    assert resolve_face_model(other, trust=True) == other


def test_missing_configured_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(DependencyError, match="nowhere.task"):
        resolve_face_model(tmp_path / "nowhere.task", trust=True)
    monkeypatch.setenv(module.VARIABLE, "gone.task")
    with pytest.raises(DependencyError, match=r"gone.task \(\$MSRS_FACE_TASK\)"):
        resolve_face_model()


def test_download_fills_the_cache_with_its_notice(monkeypatch):
    monkeypatch.setattr(module, "_download", lambda: BUNDLE)
    assert resolve_face_model().read_bytes() == BUNDLE
    notice = cache_path().with_name("face_landmarker.task.NOTICE").read_text()
    assert "Apache License" in notice
    assert "outputs of face_landmark_with_attention.tflite are concatenated" in notice


def test_wrong_download_is_not_kept_and_the_wheel_takes_its_place(monkeypatch):
    monkeypatch.setattr(module, "_download", lambda: b"a page that says please log in")
    with pytest.raises(DependencyError, match="not a known one"):
        resolve_face_model()
    assert not list(cache_path().parent.glob("*"))
    monkeypatch.setattr(module, "_build_from_index", lambda: BUNDLE)
    assert resolve_face_model().read_bytes() == BUNDLE


def test_damaged_cache_is_fetched_anew(monkeypatch):
    cache_path().parent.mkdir()
    cache_path().write_bytes(BUNDLE[:5])
    monkeypatch.setattr(module, "_download", lambda: BUNDLE)
    assert resolve_face_model().read_bytes() == BUNDLE


def test_without_any_way_the_message_says_why_and_what_to_do():
    with pytest.raises(DependencyError) as caught:
        resolve_face_model()
    for word in ("no network", "pip download", "msrs-fetch-face-model --wheel FILE", module.VARIABLE):
        assert word in str(caught.value)


def test_given_wheel_is_the_only_way(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_download", lambda: BUNDLE)
    (tmp_path / "x.whl").write_bytes(b"no zip")
    with pytest.raises(DependencyError, match=r"x\.whl: not a wheel of mediapipe 0\.10\.21"):
        fetch_face_model(tmp_path / "out.task", tmp_path / "x.whl")
    assert not (tmp_path / "out.task").exists()


def test_wheel_with_other_models_is_refused(tmp_path):
    import zipfile

    from msrs.faces.face_bundle import MEMBER_SHA256

    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name in MEMBER_SHA256:
            archive.writestr(name, b"another model")
    with pytest.raises(DependencyError, match="another version"):
        build_bundle(tmp_path / "x.whl")


def test_wheel_gives_the_same_bytes_everywhere():
    wheel = os.environ.get("MSRS_TEST_WHEEL")
    if not wheel:
        pytest.skip("MSRS_TEST_WHEEL names no mediapipe 0.10.21 wheel")
    pytest.importorskip("mediapipe")
    assert hashlib.sha256(build_bundle(wheel)).hexdigest() == BUILT


def test_every_joined_number_is_used_for_its_point():
    order = point_order()
    assert order.shape == (478, 3)
    assert order[0].tolist() == [1404 + 2 * 15, 1405 + 2 * 15, 2]  # point 0 is the 16th lip point
    assert order[4].tolist() == [12, 13, 14]  # the tip of the nose is not refined
    assert order[468].tolist() == [1848, 1849, 3 * 159 + 2]
    assert order[477].tolist() == [1866, 1867, 3 * 386 + 2]
    assert len(np.unique(order[:, :2])) == 2 * 478


def test_joining_is_refused_without_the_schema(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mediapipe.tasks.metadata", None)
    with pytest.raises(DependencyError, match="pip install mediapipe"):
        join_outputs(b"")
