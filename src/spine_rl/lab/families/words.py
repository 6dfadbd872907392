"""Stories: "Ann has 12 apples. She buys 5. She gives away 3. How many does she have?"

A story tells an arithmetic chain, a sentence an operation, and nobody ever has fewer than nothing. Read rightly it is
worked as the chain is; the chain decides its split too, so that no family trains on what another is adapted on.
"""

import random
import re
from dataclasses import dataclass

from spine_rl.lab.families.arithmetic import Chain, draw_chain, work_values
from spine_rl.lab.families.arithmetic import write_solution as write_chain_solution
from spine_rl.lab.families.family import Split, Style, TextProblem, draw_distinct

OWNERS = (("Ann", "she"), ("Ben", "he"), ("Eve", "she"), ("Max", "he"))
THINGS = ("apples", "books", "coins", "shells")
SENTENCES: dict[str, tuple[str, ...]] = {
    "+": ("{who} buys {n}", "{who} finds {n}", "{who} wins {n}", "{who} is given {n}"),
    "-": ("{who} sells {n}", "{who} loses {n}", "{who} breaks {n}", "{who} gives away {n}"),
    "*": ("{who} ends up with {n} times as many",),
}
OPENING, QUESTION = "{name} has {n} {things}", "How many does {who} have?"
MULTIPLIED = {2: "{who} doubles them", 3: "{who} triples them"}  # in words of their own, half of the time


@dataclass(frozen=True)
class Story(TextProblem):
    """One problem: a chain, and how it is told."""

    chain: Chain
    prompt: str

    @property
    def key(self) -> str:
        return self.chain.key

    @property
    def answer(self) -> str:
        return self.chain.answer


def generate_stories(split: Split, num_problems: int, *, num_operations: int, seed: int = 0) -> list[Story]:
    """Draws distinct problems of one split; the same arguments give the same problems."""
    rng = random.Random(f"words/{split}/{num_operations}/{seed}")
    return draw_distinct(lambda rng: draw_story(rng, num_operations), split, num_problems, rng)


def draw_story(rng: random.Random, num_operations: int) -> Story:
    """Draws one problem of any split."""
    while True:
        chain = draw_chain(rng, num_operations)
        if min(work_values(chain)) >= 0:
            return Story(chain, tell(chain, rng))


def tell(chain: Chain, rng: random.Random) -> str:
    """The chain in words, drawn anew every time."""
    name, who = rng.choice(OWNERS)
    sentences = [OPENING.format(name=name, n=chain.start, things=rng.choice(THINGS))]
    for operator, operand in chain.operations:
        sentence = rng.choice(SENTENCES[operator])
        if operator == "*" and operand in MULTIPLIED and rng.random() < 0.5:
            sentence = MULTIPLIED[operand]
        sentences.append(sentence.format(who=who.capitalize(), n=operand))
    return ". ".join([*sentences, QUESTION.format(who=who)])


def write_solution(story: Story, style: Style, rng: random.Random) -> str:
    """Works the problem in one style, in figures; a hasty solution may be wrong."""
    return write_chain_solution(story.chain, style, rng)


def list_tokens() -> tuple[str, ...]:
    """The words of all stories, each with the space after it, and the end of a sentence: tokens of their own."""
    templates = [OPENING, QUESTION, *MULTIPLIED.values(), *(each for group in SENTENCES.values() for each in group)]
    told = [
        template.format(name=name, who=form, n=0, things=thing)
        for template in templates
        for name, who in OWNERS
        for form in (who, who.capitalize())
        for thing in THINGS
    ]
    return (". ", *sorted({word for text in told for word in re.findall(r"[A-Za-z]+ ?", text)}))
