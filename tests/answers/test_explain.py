"""An explanation ends in the key that votes, whatever the response."""

from fuzz_answers import make_fuzz

from spine_rl.answers import ANSWER_TYPES, explain_response, response_key


def test_the_steps_name_the_place_the_rule_and_the_key():
    steps = explain_response("<think>\\boxed{3}</think>The answer (in cm) is 0.5 cm. I hope this helps!", "number")
    assert [step.rule for step in steps] == [
        "reasoning, channels and chat tokens taken off",
        "after a marker",
        "a number, as an exact fraction",
    ]
    assert (steps[1].text, steps[-1].result) == ("0.5 cm", "1/2")


def test_a_response_that_declines_says_so():
    (step,) = explain_response("The answer is (A) and (H).", "choice")
    assert (step.text, step.result) == ("(A) and (H)", "declines, or names several or no option: no answer")
    assert explain_response("<think>5", "math")[0].result == "the reasoning was not closed"


def test_it_always_ends_as_the_key_does():
    for index, text in enumerate(make_fuzz(300, seed=1)):
        answer_type = ANSWER_TYPES[index % len(ANSWER_TYPES)]
        key = response_key(text, answer_type, ["left", "right"])
        result = explain_response(text, answer_type, ["left", "right"])[-1].result
        assert result == key or (key is None and "no answer" in result)
