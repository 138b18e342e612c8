"""Small stand-ins for the recipes' models: their architectures, tokenizers and chat templates in the ways that matter.

What matters: whether the template or the model opens the thought, whether ``</think>`` is one added token that decoding
keeps or plain text of several tokens, and that line breaks merge with what is before them (Qwen's split), so that texts
do not cut where tokens do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

from sgrpo_verl.workbench.model import write_random_model

QWEN_SPLIT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = [
    "Time is limited, stop thinking and start answering.\n",
    "So, it is 8.\n\nWait, check again.\n",
    "Answer: 12\n\n",
]
R1_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<｜User｜>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜><think>\n{% endif %}"
)
QWEN3_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """One of the recipes' model families."""

    recipes: tuple[str, ...]  # hydra_configs/paper
    config_class: type
    template: str
    opening: str  # what the model itself writes before its thought
    special: dict[str, str]
    added: tuple[str, ...]
    tags: tuple[str, ...] = ("<think>", "</think>")  # that are one token each

    def tokenizer(self) -> PreTrainedTokenizerFast:
        tokenizer = Tokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated")
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=340, special_tokens=[*self.special.values()], initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(CORPUS * 50, trainer)
        tokenizer.add_tokens([*self.added, *self.tags])
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, chat_template=self.template, clean_up_tokenization_spaces=False, **self.special
        )

    def save(self, folder: Path, **shape: Any) -> Path:
        """A tiny model with random weights, and its tokenizer."""
        return write_random_model(
            folder,
            self.tokenizer(),
            family=self.config_class,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=1024,
            **{"tie_word_embeddings": False, **shape},
        )


R1_DISTILL_QWEN = Family(
    ("r1_distill_qwen_7b", "r1_distill_qwen_14b"),
    Qwen2Config,
    R1_TEMPLATE,
    "",
    {
        "bos_token": "<｜begin▁of▁sentence｜>",
        "eos_token": "<｜end▁of▁sentence｜>",
        "pad_token": "<｜end▁of▁sentence｜>",
    },
    ("<｜User｜>", "<｜Assistant｜>"),
)
QWEN3 = Family(
    ("qwen3_8b", "qwen3_14b"),
    Qwen3Config,
    QWEN3_TEMPLATE,
    "<think>\n",
    {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    ("<|im_start|>",),
)
# Its template begins with a system prompt of its own; it has never seen a think tag.
SMOLLM2 = Family(
    (),
    LlamaConfig,
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant<|im_end|>\n{% endif %}"
    + QWEN3_TEMPLATE,
    "<think>\n",
    {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
    (),
    tags=(),
)
# An instruct model without think tags, in the shape of Qwen2.5: its words' embeddings are also its logits'.
INSTRUCT = Family(
    (),
    Qwen2Config,
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    + QWEN3_TEMPLATE,
    "",
    {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    ("<|im_start|>",),
    tags=(),
)
FAMILIES = (R1_DISTILL_QWEN, QWEN3)
