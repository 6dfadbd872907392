"""Decoding with the model's layers compiled, beside the same without: what regional `torch.compile` saves on a CPU.

    python benchmarks/compiled_decoding.py           # the lab's arithmetic model, 16 problems x 8 responses
    python benchmarks/compiled_decoding.py --rounds 3

Each layer is compiled once for all lengths (`dynamic=True`); the first round compiles, the others take turns (A B A B).
Seconds are the process's own (CPU seconds), on one thread, so that other work on the machine changes them little. Both
sides must draw the same tokens. Example: `plain 1.54 s, compiled 1.60 s: 0.96`, after 25 s of compiling.
"""

import argparse
import copy
import time
from statistics import median

import torch
import torch._dynamo

from spine_rl.engine.sampler import Decoding
from spine_rl.engine.transformers_sampler import TransformersSampler
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import encode_prompts

NEW_TOKENS = 110


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # a layer's number is part of what is compiled
    plain, tokenizer = ARITHMETIC.load_base()
    compiled = copy.deepcopy(plain)
    for layer in compiled.model.layers:
        layer.compile(dynamic=True)
    chats = [[{"role": "user", "content": p.prompt}] for p in ARITHMETIC.make_problems("adapt", 16).problems]
    prompts = [ids for ids in encode_prompts(tokenizer, chats) for _ in range(8)]

    def decode(model) -> float:
        torch.manual_seed(0)
        start = time.process_time()
        responses = TransformersSampler(model, tokenizer).generate(prompts, Decoding(NEW_TOKENS))
        drawn.append([response.token_ids for response in responses])
        return time.process_time() - start

    drawn: list[list[list[int]]] = []
    first = decode(compiled)
    seconds = [(decode(plain), decode(compiled)) for _ in range(rounds)]
    if any(tokens != drawn[0] for tokens in drawn):
        print("note: the two drew different tokens")
    before, after = (median(side) for side in zip(*seconds, strict=True))
    print(
        f"plain {before:.2f} s, compiled {after:.2f} s: {before / after:.2f}, after {first - after:.0f} s of compiling"
    )


if __name__ == "__main__":
    main()
