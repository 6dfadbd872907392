"""The confidence of `spine solve`: a probability that grows with what speaks for an answer."""

from hypothesis import given
from hypothesis import strategies as st

from spine_rl.solve.confidence import estimate_confidence

SHARES = st.floats(0, 1)


@given(SHARES, SHARES, st.booleans())
def test_it_is_a_probability(before, after, agree):
    assert 0 < estimate_confidence(before, after, agree) < 1


@given(SHARES, SHARES, st.floats(0, 0.5))
def test_more_agreement_is_no_less_confidence(before, after, more):
    said = estimate_confidence(before, after, True)
    assert estimate_confidence(min(1, before + more), after, True) >= said
    assert estimate_confidence(before, min(1, after + more), True) >= said
    assert estimate_confidence(before, after, False) <= said


def test_it_tells_a_clear_vote_from_a_guess():
    assert estimate_confidence(1, 1, True) > 0.8
    assert estimate_confidence(0.125, 0.25, False) < 0.5
