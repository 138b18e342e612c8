"""One rank of verl's FSDP engine with Ulysses: packed groups' loss, log-probs, entropies and gradients, into a file.

python -m tests.integration.ulysses_rank RANK RANKS STORE MODEL OUT
"""

import random
import sys

import torch

from sgrpo_verl.selftest.engine import build_engine, build_loss
from tests.integration.test_packed import batch_from, run

SEEDS = range(3)


def made_batch(seed):
    """Groups of unequal length, whose packed lengths divide by nothing in particular."""
    rng = random.Random(seed)
    rows, prompts = [], []
    for group in range(rng.randint(1, 3)):
        prompt = [4 + group, *(rng.randrange(4) for _ in range(rng.randrange(3)))]
        thought = [rng.randrange(4) for _ in range(rng.choice([3, 9, 26]))]
        for cut in sorted(rng.sample(range(1, len(thought) + 1), 3)):
            rows.append([*prompt, *thought[:cut], 7, 7, *(rng.randrange(4) for _ in range(rng.randrange(1, 4)))])
        rows.append([*prompt, *thought, 8, *(rng.randrange(4) for _ in range(rng.randrange(3)))])
        prompts += [prompt] * 4
    generator = torch.Generator().manual_seed(seed)
    batch = batch_from(rows, prompts, generator, lambda count: torch.randint(2, (count,), generator=generator))
    batch["response_mask"].values()[-1] = 1  # a batch with no trained token has no mean
    return batch


def main(rank, ranks, store, out, *models):
    torch.distributed.init_process_group(
        "cpu:gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(ranks)
    )
    options = () if ranks == "1" else (f"actor.ulysses_sequence_parallel_size={ranks}", "model.use_remove_padding=true")
    found = {}
    for model in models:
        engine = build_engine(model, "packed", *options)
        for seed in SEEDS:
            loss, per_token, gradients = run(engine, build_loss(), made_batch(seed), max_token_len_per_gpu=4096)
            found[model, seed] = {"loss": float(loss), **per_token, "gradients": gradients}
    if rank == "0":
        torch.save(found, out)
    torch.distributed.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
