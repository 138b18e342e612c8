"""GSM8K as verl's parquet, and of its training problems those that the untrained model gets right.

A problem that the model never gets right teaches nothing: all rows of its group have the same reward. The choice is
made by the training problems alone.
"""

import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console

from sgrpo_verl.data.local import read_file
from sgrpo_verl.data.prepare import sha256
from sgrpo_verl.errors import UserError
from sgrpo_verl.files import read_lines, write_whole
from sgrpo_verl.workbench import processes

TEST, ALL_TRAINING, TRAINING = "gsm8k", "gsm8k-train", "train"  # .parquet; the last has the chosen problems
CHOICE_PROBLEMS = (
    480  # the first training problems; each gets one greedy response, which takes half the time of a sample
)
FEWEST = 16  # a step's


def write_data(folder: Path, train: Path | None, test: Path | None) -> None:
    """Test problems, and training problems without those that are in the test set; kept if they are there.

    Args:
        folder: made if it is not there.
        train: local file of GSM8K's training problems; None: those that are there, or else from the Hugging Face hub.
        test: of its test problems.

    Raises:
        UserError: a file cannot be read, or is not the one that the problems in ``folder`` are from.
        SystemExit: the hub was not reached, as was said.
    """
    # The test problems first: what is in them is left out of the others.
    sources = (("--test", TEST, test), ("--train", ALL_TRAINING, train))
    for option, name, file in sources:
        if file is not None:
            read_file(file, option)
            _check_same(folder / name, option, file)
    for option, name, file in sources:
        if not (folder / f"{name}.parquet").exists():
            source = [] if file is None else ["--from", str(file.resolve())]
            try:
                processes.run([sys.executable, "-m", "sgrpo_verl.cli", "data", name, "--out", str(folder), *source])
            except SystemExit as error:
                if file is None:
                    raise
                command = f"sgrpo data {name} --from {file} --out {folder}"
                raise UserError(
                    f"{option} {file}: what is wrong with it is said above; `{command}` takes the options named there, "
                    "and what it writes is used"
                ) from error


def _check_same(kept: Path, option: str, file: Path) -> None:
    """Whether problems that are kept are from this file, as their record says."""
    if kept.with_suffix(".parquet").exists() and kept.with_suffix(".json").exists():
        record = json.loads(kept.with_suffix(".json").read_text())
        if record["source_sha256"] != sha256(file):
            source = record["source_file"] or f"{record['hub_id']} on the hub"
            raise UserError(
                f"{option} {file}: the problems in {kept}.parquet are from another file ({source}); leave {option} out "
                "to keep them, or give another --out"
            )


def choose(folder: Path, choice: Path, console: Console) -> None:
    """Write ``train.parquet``: of the problems tried in the run ``choice``, those that it answered rightly.

    Raises:
        UserError: they are fewer than a step takes.
    """
    scores = list(read_lines(choice / "scores.jsonl"))
    right = sorted(one["index"] for one in scores if one["score"] > 0.5)
    text = f"{len(right)} of {len(scores)} training problems have a right greedy response"
    if len(right) < FEWEST:
        raise UserError(f"{text}, and a step takes {FEWEST}: the model is too weak for GSM8K, see {choice}")
    problems = pd.read_parquet(folder / f"{ALL_TRAINING}.parquet").iloc[right]
    write_whole(folder / f"{TRAINING}.parquet", lambda file: problems.to_parquet(file))
    write_whole(folder / "choice.txt", f"{text}; they are trained on.\n")
    console.print(f"{text}; they are trained on", highlight=False)
