"""Answers keyed a second, in one process.

    python benchmarks/answer_speed.py [--math500 math500.jsonl]

The fast path: responses of some 300 characters, no two alike, with integers, decimals, simple fractions, letters and
words. With MATH-500's file, its 500 gold answers too, from a cold start, the symbolic workers' included.
"""

import argparse
import json
import random
import time
from pathlib import Path

from spine_rl.answers import gold_key, response_key

REASONING = "First I add the two numbers, then I multiply the result by the third one and simplify. " * 3
LETTERS = [f"Option {letter} means {letter.lower()}" for letter in "ABCDE"]


def make_responses(num_responses: int, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    makers = [
        lambda: (rf"So the result is \boxed{{{rng.randrange(10**9)}}}.", "math"),
        lambda: (f"#### {rng.randrange(10**9)}", "math"),
        lambda: (rf"Thus \boxed{{\frac{{{rng.randrange(1, 10**6)}}}{{{rng.randrange(1, 10**6)}}}}}$.", "math"),
        lambda: (f"The final answer is {rng.randrange(10**6)}.{rng.randrange(100):02d}.", "math"),
        lambda: (f"The answer is ({rng.choice('ABCDE')}).", "choice"),
        lambda: (f"The answer is {rng.choice(('yes', 'no', 'maybe'))}.", "yes_no"),
    ]
    made = [makers[index % len(makers)]() for index in range(num_responses)]
    return [(f"{index}. {REASONING}{text}", answer_type) for index, (text, answer_type) in enumerate(made)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--math500", type=Path)
    parser.add_argument("--responses", type=int, default=60_000)
    arguments = parser.parse_args()
    responses = make_responses(arguments.responses)
    rates = []
    for chunk in (responses[start::3] for start in range(3)):
        start = time.perf_counter()
        keys = [response_key(text, answer_type) for text, answer_type in chunk]
        rates.append(len(chunk) / (time.perf_counter() - start))
        assert None not in keys
    print(f"fast path: {sorted(rates)[1]:,.0f} answers/s (three runs: {', '.join(f'{rate:,.0f}' for rate in rates)})")
    if arguments.math500:
        answers = [json.loads(line)["answer"] for line in arguments.math500.read_text(encoding="utf-8").splitlines()]
        start = time.perf_counter()
        missing = sum(gold_key(answer) is None for answer in answers)
        print(f"MATH-500 gold: {len(answers)} keyed in {time.perf_counter() - start:.2f} s, {missing} without a key")


if __name__ == "__main__":
    main()
