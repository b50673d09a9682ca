import math

from msrs.search.finished import Finished
from msrs.search.hypothesis import Hypothesis


def make(nbest=2, **scores):
    """Finished hypotheses of one utterance; `a3=-1.5` is one of three tokens."""
    finished = Finished(nbest, end_margin=10.0)
    for name, score in scores.items():
        tokens = (1 + "abc".index(name[0]),) * int(name[1:])
        finished.hypotheses.append(Hypothesis(tokens, score, {}))
    return finished


def test_best_first_and_ties_by_token():
    best = make(nbest=3, b2=-1.0, a2=-1.0, a3=-0.5, c1=-2.0).best()
    assert [one.tokens for one in best] == [(1, 1, 1), (1, 1), (2, 2)]


def test_done_where_nothing_runs():
    assert make().is_done(0, -math.inf)


def test_done_where_no_running_one_can_enter_the_list():
    assert make(a1=-1.0, b1=-2.0).is_done(5, best_possible=-2.0)
    assert not make(a1=-1.0, b1=-2.0).is_done(5, best_possible=-1.9)
    assert not make(a1=-1.0).is_done(5, best_possible=-2.0)  # two are wanted


def test_done_where_three_lengths_in_a_row_end_far_behind():
    far = {"a3": -12.0, "a4": -13.0, "a5": -14.0}
    assert make(nbest=9, a1=-1.0, **far).is_done(5, best_possible=0.0)
    assert not make(nbest=9, a1=-1.0, **far).is_done(6, best_possible=0.0)  # none has ended with six
    assert not make(nbest=9, a1=-1.0, **far, b4=-10.9).is_done(5, best_possible=0.0)
