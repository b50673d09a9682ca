"""msrs-train: what cannot be is told before anything is written."""

import pytest

from msrs.bin.train import main

WORDS = ["--config", "c.yaml", "--train", "train", "--dev", "dev", "--tokens", "tokens", "--exp", "exp"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--ngpu -1", "--ngpu -1: expected 0 or more."),
        ("--processes 0", "--processes 0: expected 1 or more."),
        ("--num-nodes 0", "--num-nodes 0: expected 1 or more."),
        ("--processes 2 --ngpu 1", "--processes is for machines without GPUs"),
        ("--ngpu 0 --num-nodes 2", "needs --rendezvous HOST:PORT"),
        ("--ngpu 0 --num-nodes 2 --rendezvous nonsense", "--rendezvous nonsense: expected HOST:PORT"),
        ("--ngpu 99", "--ngpu 99 was given, but torch finds"),
    ],
)
def test_processes_that_cannot_be(words, told, tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, *words.split()]) == 1
    assert told in log.text
    assert not list(tmp_path.iterdir())
