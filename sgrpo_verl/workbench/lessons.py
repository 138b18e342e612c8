"""Lessons for a small model as labelled tokens: batches of them, their loss, the rate, and the folder that is saved."""

import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sgrpo_verl.workbench.task import Lesson

BUCKET_BATCHES = 16
IGNORED = -100  # label of a token without a loss, as transformers has it


def encode_lesson(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids and labels of one lesson, prompt included, both of the same length."""
    messages = [{"role": "user", "content": lesson.problem.question}]
    ids = list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
    labels = [IGNORED] * len(ids)
    for text, learned in (*lesson.pieces, (tokenizer.eos_token, True)):
        piece = tokenizer.encode(text, add_special_tokens=False)
        ids += piece
        labels += piece if learned else [IGNORED] * len(piece)
    return ids, labels


def lesson_batches(
    draw: Callable[[random.Random], Lesson], tokenizer: PreTrainedTokenizerBase, seed: int, batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Right-padded batches without end: input_ids, attention_mask and labels, int64, (batch_size, longest lesson)."""
    rng = random.Random(seed)
    bucket: list[list[tuple[list[int], list[int]]]] = []
    while True:
        if not bucket:  # lessons of like length together: padding would cost as much as they do
            lessons = [encode_lesson(draw(rng), tokenizer) for _ in range(batch_size * BUCKET_BATCHES)]
            lessons.sort(key=lambda lesson: len(lesson[0]))
            bucket = [lessons[start : start + batch_size] for start in range(0, len(lessons), batch_size)]
            rng.shuffle(bucket)
        encoded = bucket.pop()
        width = max(len(ids) for ids, _ in encoded)
        yield {
            "input_ids": torch.tensor([ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in encoded]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in encoded]),
            "labels": torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in encoded]),
        }


def lesson_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy of the labelled tokens. Only they get logits, which take most of a small model's time."""
    hidden = model.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    labels = batch["labels"][:, 1:]
    asked = labels != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1][asked]).float(), labels[asked])


def taught(step: int, steps: int, loss: float) -> str:
    """A step of a teaching, in words."""
    return f"step {step} of {steps}, loss {loss:.3f}"


def rate_at(step: int, steps: int) -> float:
    """Share of the learning rate at a step: a short rise, then half a cosine."""
    return min((step + 1) / max(1, steps // 15), 0.5 + 0.5 * math.cos(math.pi * step / steps) + 0.01)


def save_whole(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Save to ``out``, which is there once all of it is."""
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(out)
