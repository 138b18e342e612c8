"""Turns a data set into verl's parquet: reads, checks, filters and decontaminates it, and records where it came from.

verl's row format: ``verl/examples/data_preprocess``. ``data_source`` is the hub id, as verl's own scripts have it.
"""

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException
from rich.progress import track

from sgrpo_verl.correctness import acceptable_answers, choices_of
from sgrpo_verl.data.kept_out import excluded_problems, names_of, problem_texts, test_sets
from sgrpo_verl.data.local import read_file
from sgrpo_verl.data.overlap import TestSets, normalized
from sgrpo_verl.data.records import record_of, recorded
from sgrpo_verl.data.sources import (
    DIFFICULTY,
    PLAIN_COLUMNS,
    SOURCES,
    VERL_COLUMNS,
    BadCell,
    Problem,
    Row,
    Source,
    reader_of,
)
from sgrpo_verl.errors import UserError
from sgrpo_verl.files import make_folder, write_whole

SHOWN = 10  # bad rows named in one message
MOST = 0.9  # of a training set's problems


@dataclass(frozen=True)
class Filters:
    """Which rows of a data set are left out. Every removal is counted under the filter's name."""

    min_difficulty: float | None = None
    max_difficulty: float | None = None
    exclude: Path | None = None  # problems to leave out: a .txt with one per line, or rows as of a benchmark
    decontaminate: tuple[Path, ...] = ()  # benchmarks: files that local.read_file reads, or folders of parquet files
    skip_bad_rows: bool = False


@dataclass
class Prepared:
    """The rows to write, with the number read and the numbers removed for each cause."""

    rows: list[Row] = field(default_factory=list)
    read: int = 0
    removed: Counter[str] = field(default_factory=Counter)


def prepare(
    name: str,
    out: Path,
    local: Path | None = None,
    seed: int = 0,
    filters: Filters | None = None,
    columns: dict[str, str] | None = None,
) -> Path:
    """Write ``out/NAME.parquet`` and ``out/NAME.json``, its record; returns the parquet file.

    Args:
        name: a key of ``sources.SOURCES``.
        out: folder, made if missing; nothing is written before everything is checked.
        local: JSONL, JSON, parquet or CSV to read instead of the hub, with the hub's columns or ``problem`` and
            ``answer``; see ``local.read_file``.
        seed: of what is shuffled (GPQA's choices).
        filters: see ``Filters``; a training set is decontaminated against the benchmarks already in ``out`` at least.
        columns: what the local file's columns are called, by our name: ``{"problem": "Question"}``.

    Raises:
        UserError: unknown name, unreachable hub, missing column, duplicate problem, an answer that cannot be one, or a
            file that would be overwritten and is not a data set's.
    """
    if name not in SOURCES:
        raise UserError(f"unknown data set {name!r}: it must be one of {', '.join(SOURCES)}")
    source, filters = SOURCES[name], filters or Filters()
    if not source.training and (filters != Filters(skip_bad_rows=filters.skip_bad_rows)):
        raise UserError(f"{name} is a benchmark: difficulty, exclusion and decontamination are for training sets")
    if DIFFICULTY not in source.columns and (filters.min_difficulty, filters.max_difficulty) != (None, None):
        raise UserError(f"{name} has no difficulty to filter by: leave out --min-difficulty and --max-difficulty")
    parquet = out / f"{name}.parquet"
    _check_output(parquet, local)
    benchmarks, others = test_sets(parquet, filters.decontaminate) if source.training else ([], [])
    if columns and not local:
        raise UserError("--columns maps the columns of a local file: give it with --from")
    if unknown := set(columns or {}) - {*source.columns, *PLAIN_COLUMNS, *VERL_COLUMNS, "data_source", "extra_info"}:
        known = ", ".join(dict.fromkeys((*source.columns, *PLAIN_COLUMNS, *VERL_COLUMNS)))
        raise UserError(f"--columns: {min(unknown)!r} is none of {known}, which a column can stand for")
    excluded = {normalized(text) for text in excluded_problems(filters.exclude)}
    named = {path.resolve() for path in filters.decontaminate}
    kept_out = TestSets(
        {
            test_set: list(problem_texts(file, "--decontaminate" if file.resolve() in named else "beside the output,"))
            for file, test_set in names_of(benchmarks).items()
        }
    )
    raw, revision = (_renamed(read_file(local), columns or {}, local), None) if local else _from_hub(source)
    problems = _problems(name, source, raw, seed, filters, columns or {})
    prepared = _select(problems, len(raw), name, source, filters, excluded, kept_out)
    _check_no_training_set(prepared, [file for file in benchmarks if file.resolve() not in named], names_of(benchmarks))
    if not prepared.rows:
        raise UserError(f"{name}: none of the {prepared.read} rows is left; removed: {dict(prepared.removed)}")
    if any(isinstance(row["reward_model"]["ground_truth"], list) for row in prepared.rows):  # a column has one type
        for row in prepared.rows:
            truth = row["reward_model"]["ground_truth"]
            row["reward_model"]["ground_truth"] = truth if isinstance(truth, list) else [truth]
    try:
        content = pd.DataFrame(prepared.rows).to_parquet()  # in memory; nothing is written yet
    except (ArrowException, OverflowError) as error:  # types or numbers that parquet cannot hold
        raise UserError(
            f"{name}: cannot be written as parquet ({error}); a key of extra_info must have values of one type, no "
            "empty dict, and no whole number of more than 64 bits"
        ) from error
    record = {
        "name": name,
        "hub_id": source.hub_id,
        "config": source.config,
        "split": source.split,
        "training": source.training,
        "revision": revision,
        "source_file": local.name if local else None,
        "source_sha256": sha256(local) if local else None,
        "columns": columns or None,
        "seed": seed,
        "rows_read": prepared.read,
        "rows": len(prepared.rows),
        "removed": dict(prepared.removed),
        "decontaminated_against": {name: sha256(file) for file, name in names_of(benchmarks).items()},
        "taken_for_training_sets": [file.name for file in others],
        "sha256": hashlib.sha256(content).hexdigest(),
        "sgrpo_verl": version("sgrpo-verl"),
    }
    make_folder(out)
    # First: whoever finds the data set must find what it is, or a training set would be taken for a test set.
    write_whole(record_of(parquet), json.dumps(record, indent=2) + "\n")
    return write_whole(parquet, content)


def _check_output(parquet: Path, local: Path | None) -> None:
    """Before anything is read: what will be replaced is an earlier data set, and neither its source nor other data."""
    record, folder = record_of(parquet), parquet.parent
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UserError(f"--out {folder}: {nearest} must be a folder that can be written to")
    if local and local.resolve() in (parquet.resolve(), record.resolve()):
        raise UserError(f"--from {local}: would be overwritten by what is made of it; choose another --out")
    there = [file.name for file in (parquet, record) if file.exists()]  # ours are never without a record
    if there and recorded(parquet) is None:
        names = " and ".join(there)
        raise UserError(f"--out {folder}: {names} would be overwritten, and no record of `sgrpo data` says what it is")


def _from_hub(source: Source) -> tuple[list[Row], str]:
    """All rows, and the revision (a commit) that they come from."""
    try:
        from datasets import load_dataset
        from huggingface_hub import HfApi

        revision = HfApi().dataset_info(source.hub_id, timeout=20).sha
        data = load_dataset(source.hub_id, source.config, split=source.split, revision=revision)
    except Exception as error:  # no network, no such host, a gate, a proxy: each library raises its own
        raise UserError(
            f"could not get {source.hub_id} from the Hugging Face hub ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}). If the set is gated, log in with "
            "`hf auth login`; on a machine without the hub, give a local copy with --from PATH: JSONL, JSON, parquet "
            f"or CSV with the columns {', '.join(source.columns)}, or {' and '.join(PLAIN_COLUMNS)}"
        ) from error
    return list(data), str(revision)


def _renamed(raw: list[Row], columns: dict[str, str], local: Path) -> list[Row]:
    """The rows with their columns renamed to ours."""
    present = set().union(*raw)
    if missing := [theirs for theirs in columns.values() if theirs not in present]:
        raise UserError(
            f"--columns: {local} has no column {', '.join(map(repr, missing))} (there are {', '.join(sorted(present))})"
        )
    return [{**row, **{ours: row.get(theirs) for ours, theirs in columns.items()}} for row in raw]


def _problems(
    name: str, source: Source, raw: list[Row], seed: int, filters: Filters, renamed: dict[str, str]
) -> Iterator[Problem | None]:
    """The problem of each row, None for a bad one that is to be skipped."""
    read, columns = _reader(name, source, set().union(*raw))
    rng = random.Random(seed)
    problems: list[Problem | None] = []
    first: dict[str, int] = {}
    bad: dict[int, str] = {}
    for index, row in enumerate(raw):
        try:
            problem = read(row, rng)
        except BadCell as error:
            bad[index] = f"column {renamed.get(error.column, error.column)}: {error.what}"
            problems.append(None)
            continue
        problems.append(problem)
        text = normalized(problem.text)
        if not problem.text:
            bad[index] = f"empty problem (column {renamed.get(columns[0], columns[0])})"
        elif what := _unusable(problem, source):
            bad[index] = f"{what} (column {renamed.get(columns[1], columns[1])})"
        elif text in first:
            bad[index] = f"same problem as row {first[text]}"
        else:
            first[text] = index
    if bad and not filters.skip_bad_rows:
        shown = "; ".join(f"row {index}: {what}" for index, what in list(bad.items())[:SHOWN])
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise UserError(f"{name}: {shown}{more}. Fix the source, or leave such rows out with --skip-bad-rows")
    return (None if index in bad else problem for index, problem in enumerate(problems))


def _unusable(problem: Problem, source: Source) -> str:
    """What is wrong with an answer that no response could equal; empty if nothing is."""
    if not problem.answer or not all(problem.answer):
        return "empty answer"
    try:
        acceptable_answers(problem.answer, problem.data_source or source.hub_id, choices_of(problem.choices))
    except ValueError as error:
        return str(error)
    return ""


def _reader(
    name: str, source: Source, present: set[str]
) -> tuple[Callable[[Row, random.Random], Problem], tuple[str, ...]]:
    """How rows with these columns are read, and the columns of problem and answer."""
    missing = [column for column in source.columns if column not in present]
    difficulty = DIFFICULTY if DIFFICULTY in source.columns else None
    if source.ability == "math" and present.issuperset(PLAIN_COLUMNS):  # an answer says more than a solution
        return reader_of(*PLAIN_COLUMNS, difficulty), PLAIN_COLUMNS
    if not missing:
        return source.read, source.columns
    if present.issuperset(VERL_COLUMNS):
        return reader_of(*VERL_COLUMNS, difficulty), VERL_COLUMNS
    others = source.ability == "math" and source.columns != PLAIN_COLUMNS
    plain = f", or for {' and '.join(PLAIN_COLUMNS)}" if others else ""
    wanted = PLAIN_COLUMNS if source.ability == "math" else source.columns
    there = ", ".join(sorted(present)) or "none"
    raise UserError(
        f"{name}: no column {', '.join(map(repr, missing))} (there are {there}); "
        f"looked for {', '.join(source.columns)}{plain}. Say which are meant with --columns "
        f"{','.join(f'{column}=…' for column in wanted)}"
    )


def _select(
    problems: Iterator[Problem | None],
    count: int,
    name: str,
    source: Source,
    filters: Filters,
    excluded: set[str],
    kept_out: TestSets,
) -> Prepared:
    """The rows that pass every filter, are not ``excluded`` (normalized problems), and are in no test set."""
    low = float("-inf") if filters.min_difficulty is None else filters.min_difficulty
    high = float("inf") if filters.max_difficulty is None else filters.max_difficulty
    prepared = Prepared()
    for index, problem in enumerate(track(problems, description=name, total=count)):
        prepared.read += 1
        if problem is None:
            prepared.removed["bad row"] += 1
        elif problem.difficulty is None and (low, high) != (float("-inf"), float("inf")):
            prepared.removed["no difficulty"] += 1
        elif problem.difficulty is not None and not low <= problem.difficulty <= high:
            prepared.removed["difficulty"] += 1
        elif normalized(problem.text) in excluded:
            prepared.removed["excluded"] += 1
        elif found := kept_out.find(problem.text):
            test_set, how = found
            prepared.removed[f"in {test_set} ({how})"] += 1
        else:
            prepared.rows.append(_verl_row(problem, index, source))
    return prepared


def _check_no_training_set(prepared: Prepared, unnamed: list[Path], names: dict[Path, str]) -> None:
    """A file without a record that most problems are in is more likely a training set than a test set."""
    for file in unnamed:
        inside = f"in {names[file]} ("
        lost = sum(count for cause, count in prepared.removed.items() if cause.startswith(inside))
        if recorded(file) is None and lost > MOST * prepared.read:
            raise UserError(
                f"{lost} of the {prepared.read} problems are also in {file}, which has no record beside it: if it is a "
                f"training set, move it elsewhere; if it is a test set, say so with --decontaminate {file}"
            )


def _verl_row(problem: Problem, index: int, source: Source) -> Row:
    extra = {**problem.extra_info, "index": index, "problem": problem.text, "choices": problem.choices}
    if problem.difficulty is not None:
        extra["difficulty"] = problem.difficulty
    return {
        "data_source": problem.data_source or source.hub_id,
        "prompt": problem.prompt,
        "ability": source.ability,
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": extra,
    }


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
