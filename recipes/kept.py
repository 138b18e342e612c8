"""The parts of a recipe that takes hours: each is kept once it is done, and continues where it was stopped."""

import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from recipes.ablation.variants import Variant
from recipes.command import listed, numbers
from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.folder import unfinished
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.workbench.evaluate import evaluate
from sgrpo_verl.workbench.train import train

# A training on a CPU would take more memory with every step: oneDNN keeps compiled kernels of a thousand shapes, and
# packed rows are of a new length each time.
STEADY_MEMORY = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "LRU_CACHE_CAPACITY": "1"}

# Settings of main_ppo that a training may be resumed with another value of: what is kept, shown, and fits into memory.
HARMLESS = re.compile(
    r"trainer\.(save_freq|max_\w+_ckpt_to_keep|logger|\w+_dir|\w+_name|log_\w+|test_freq|val_\w+)|(hydra|ray_kwargs)\..+"
    r"|.+\.(\w*max_token_len_per_gpu|\w*micro_batch_size_per_gpu|gpu_memory_utilization|max_num_seqs)"
)


def chosen(names: str, known: Mapping[str, Variant]) -> list[Variant]:
    """The variants that ``--variants`` names.

    Raises:
        UserError: one is unknown.
    """
    if unknown := [name for name in listed(names) if name not in known]:
        raise UserError(f"--variants {names}: {unknown[0]!r} is none of {', '.join(known)}")
    return [known[name] for name in listed(names)]


def seeds(text: str) -> list[int]:
    """The seeds that ``--seeds`` names."""
    return numbers("--seeds", text)


def data_type(out: Path) -> str:
    """``bfloat16`` if this CPU multiplies it faster than ``float32``, as first measured and kept in ``out``.

    With AMX or AVX-512's own instructions for it, it is two to four times as fast; without, far slower.
    """
    kept = out / "data_type"
    if not kept.exists():
        fastest = min((torch.float32, torch.bfloat16), key=_product_seconds)
        write_whole(kept, str(fastest).removeprefix("torch."))
    return kept.read_text()


def _product_seconds(dtype: torch.dtype) -> float:
    """Of a product with a layer of a small language model, the fastest of five."""
    tokens, layer = torch.ones(2048, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(tokens, layer)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def finished(run: Path) -> bool:
    """Whether an evaluation has ended: an earlier ``sgrpo score`` may have summarized one that has not."""
    return (run / "summary.json").exists() and not unfinished(run)


def evaluated(model: Path | str, data: Path, run: Path, console: Console, *options: str) -> None:
    """``sgrpo eval``; a finished run is left as it is, an interrupted one is resumed. Its log lies beside ``run``."""
    if finished(run):
        return
    console.print(f"[bold]evaluating[/] {run.parent.name}/{run.name} (log: {run}.log)")
    # Bound by vLLM, the threads would leave one core to a second process, which there is not.
    evaluate(model, data, run, *options, OMP_NUM_THREADS=_threads(), VLLM_CPU_OMP_THREADS_BIND="nobind")


def check_settings(folder: Path, asked: Sequence[str], named: Sequence[str] | None = None) -> None:
    """A run that is trained, or can be resumed, was started with the settings that are asked for.

    Args:
        folder: of the run; its ``command.txt`` says what it was started with.
        asked: main_ppo's command.
        named: those settings of it that alone are compared; None: all.

    Raises:
        UserError: a setting differs that decides what is trained.
    """
    command = folder / "command.txt"
    begun = (folder / "model").is_dir() or (folder / "checkpoints" / "latest_checkpointed_iteration.txt").exists()
    if not (begun and command.exists()):
        return
    theirs, ours = _settings(shlex.split(command.read_text())), _settings(asked)
    names = {"trainer.total_training_steps": "--steps"}
    other = [
        f"{names.get(name, name)}: {theirs.get(name, 'not set')} there, {ours.get(name, 'not set')} now"
        for name in ({**theirs, **ours} if named is None else _settings(named))
        if theirs.get(name) != ours.get(name)
    ]
    if other:
        raise UserError(
            f"{folder} is trained with other settings ({'; '.join(other)}). Give those, or another --out, or remove it"
        )


def _settings(command: Sequence[str]) -> dict[str, str]:
    """What decides a training, by name: the last value of each setting, with paths in the recipe's folder as in OUT."""
    found = dict(part.lstrip("+").split("=", 1) for part in command if "=" in part)
    if checkpoints := found.get("trainer.default_local_dir"):
        out = str(Path(checkpoints).parents[2])  # which may have been moved
        found = {name: value.replace(out, "OUT") for name, value in found.items()}
    return {name: value for name, value in found.items() if not HARMLESS.fullmatch(name)}


def trained(command: list[str], folder: Path, num_steps: int, console: Console, **environment: str) -> Path:
    """The trained model, in ``folder``; an interrupted training is resumed from its last checkpoint.

    Args:
        command: of main_ppo, with ``checkpoints_of(folder)``.
        folder: of the run; ``metrics.jsonl`` in it has the steps of every start, ``seconds.json`` those of the last.
        num_steps: how many steps the whole training has.
        console: shows the progress.
        environment: further variables for ``command``.
    """
    model = folder / "model"
    if not model.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        keep_metrics(folder)
        if not torch.cuda.is_available():
            environment = {**unless_set(STEADY_MEMORY), **environment}
        # Ray gives each of verl's processes one thread unless this says otherwise; actor and engine take turns.
        _, checkpoint = train(command, folder, num_steps, console, OMP_NUM_THREADS=_threads(), **environment)
        keep_metrics(folder).rename(folder / "metrics.jsonl")
        shutil.move(checkpoint, model)
        shutil.rmtree(folder / "checkpoints")
        (folder / "seconds.json").write_text(json.dumps({"train": time.monotonic() - started}) + "\n")
    return model


def unless_set(variables: Mapping[str, str]) -> dict[str, str]:
    """These variables of the environment, with the user's own values where there are any."""
    return {name: os.environ.get(name, value) for name, value in variables.items()}


def _threads() -> str:
    return os.environ.get("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))


def checkpoints_of(folder: Path, num_steps: int, save_every: int) -> list[str]:
    """main_ppo's settings of a run that is resumed in ``folder``, and of what it leaves there."""
    return [
        f"trainer.total_training_steps={num_steps}",
        f"trainer.save_freq={save_every}",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        "trainer.resume_mode=auto",
        "trainer.logger=[console,file]",
        f"hydra.run.dir={folder / 'hydra'}",
    ]


def keep_metrics(folder: Path) -> Path:
    """Add the steps of ``metrics.jsonl``, which verl begins anew when it resumes, to those kept from earlier starts."""
    kept = folder / "metrics_kept.jsonl"
    steps = {one["step"]: one for file in (kept, folder / "metrics.jsonl") for one in read_lines(file)}
    return write_whole(kept, "".join(json.dumps(steps[step]) + "\n" for step in sorted(steps)))
