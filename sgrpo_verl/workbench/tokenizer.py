"""The toy reasoner's tokenizer: byte-level BPE over its lessons, a chat template that opens the thought."""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench.task import WORDS, Task

THINK_START = "<think>"
VOCABULARY_SIZE = 384
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n" + THINK_START + "\n{% endif %}"
)


def build_tokenizer(task: Task, seed: int = 0) -> PreTrainedTokenizerFast:
    """Train the tokenizer on a task's lessons drawn with ``seed``; ``</think>`` is one token, every digit is one."""
    rng = random.Random(seed)
    corpus = ["".join(text for text, _ in task.draw_lesson(rng).pieces) for _ in range(500)]
    corpus += [EXIT_PROMPT.split(THINK_END)[0], "user\nassistant\nsystem\n"] * 50
    tokenizer = Tokenizer(models.BPE())
    # Words with their leading space, or one character at a time: digits, signs and line breaks never merge.
    words = pre_tokenizers.Split(Regex(WORDS.pattern), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    # As in Qwen3: added tokens that are not special, so that decoding keeps them.
    tokenizer.add_tokens([THINK_START, THINK_END])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
