"""Small models with random weights: what the toy reasoner starts from, and what a check of an engine needs."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from sgrpo_verl.toy.tasks import TASKS
from sgrpo_verl.toy.tokenizer import build_tokenizer


def model_config(tokenizer: PreTrainedTokenizerFast, **shape: Any) -> Qwen3Config:
    """Qwen3 with 4 layers of width 128, under a million parameters, unless ``shape`` says otherwise."""
    toy = {
        "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": tokenizer.model_max_length,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return Qwen3Config(**(toy | shape))


def write_random_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast | None = None,
    dtype: torch.dtype = torch.float32,
    **shape: Any,
) -> Path:
    """A Hugging Face folder with random weights, the same every time, and a tokenizer; returns ``folder``."""
    tokenizer = tokenizer or build_tokenizer(TASKS["sums"])
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(model_config(tokenizer, **shape))
    torch.nn.Module.to(model, dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
