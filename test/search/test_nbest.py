import json

from msrs.search.hypothesis import Hypothesis
from msrs.search.nbest import Candidate, Decoded, begin_partial, read_partial, write_decoded


def make(utt_id, *texts):
    nbest = [Candidate.of(Hypothesis((2, 3), -1.5 - i, {"attention": -2.0}), text) for i, text in enumerate(texts)]
    return Decoded(utt_id, 75, tuple(nbest))


def test_a_line_survives_a_round_trip():
    one = make("s1-a", "grün 緑", "")
    assert "grün" in one.to_line()
    assert Decoded.from_line(one.to_line()) == one


def test_partial_results_survive_a_kill_in_mid_line(tmp_path):
    append = begin_partial(tmp_path, "x", {})
    append(make("s1-b", "two"))
    append(make("s1-a", "one"))
    path = tmp_path / "nbest.partial.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + make("s1-c", "three").to_line()[:40], encoding="utf-8")
    known, is_stale = read_partial(tmp_path, "x")
    assert not is_stale
    assert known == {"s1-b": make("s1-b", "two"), "s1-a": make("s1-a", "one")}
    append = begin_partial(tmp_path, "x", known)
    append(make("s1-c", "three"))
    assert sorted(read_partial(tmp_path, "x")[0]) == ["s1-a", "s1-b", "s1-c"]


def test_a_line_cut_off_within_a_character_costs_no_more_than_itself(tmp_path):
    append = begin_partial(tmp_path, "x", {})
    append(make("s1-a", "grün"))
    with open(tmp_path / "nbest.partial.jsonl", "ab") as handle:
        handle.write(make("s1-b", "緑").to_line().encode().partition("緑".encode())[0] + "緑".encode()[:1])
    assert read_partial(tmp_path, "x") == ({"s1-a": make("s1-a", "grün")}, False)


def test_partial_results_of_other_options_are_not_taken(tmp_path):
    assert read_partial(tmp_path, "x") == ({}, False)
    append = begin_partial(tmp_path, "x", {})
    append(make("s1-a", "one"))
    assert read_partial(tmp_path, "y") == ({}, True)


def test_lists_are_sorted_by_code_point_and_take_empty_hypotheses(tmp_path):
    (tmp_path / "nbest.partial.jsonl").touch()
    write_decoded(tmp_path, {name: make(name, text) for name, text in (("é-1", "x y"), ("b-2", ""), ("B-1", "z"))})
    assert (tmp_path / "text").read_text(encoding="utf-8") == "B-1 z\nb-2\né-1 x y\n"
    lines = (tmp_path / "nbest.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["utt_id"] for line in lines] == ["B-1", "b-2", "é-1"]
    assert not (tmp_path / "nbest.partial.jsonl").exists()
