"""Which problems a training set must not hold: those of test sets, and those of a file to exclude."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sgrpo_verl.data.local import read_file
from sgrpo_verl.data.records import is_training_set
from sgrpo_verl.errors import UserError


def excluded_problems(file: Path | None) -> list[str]:
    """Of a .txt with one problem per line, or of any other file of problems."""
    if file is None:
        return []
    if file.suffix != ".txt" or not file.is_file():
        return list(problem_texts(file, "--exclude"))
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"--exclude {file}: is not UTF-8 ({error})") from error


def test_sets(output: Path, named: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The test sets that were named and those beside the output, and the training sets there; the output is neither.

    Raises:
        UserError: a path that was named is not there, or holds no test set.
    """
    found: dict[Path, Path] = {}
    training: dict[Path, Path] = {}
    own = {path.resolve() for path in named}
    for path in (*named, output.parent):
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.exists() else []
        here = {file.resolve(): file for file in files if file.resolve() != output.resolve()}
        tests = {at: file for at, file in here.items() if at in own or not is_training_set(file)}
        if path in named and not tests:
            what = "no such file or folder"
            if path.exists():
                there = ", ".join(file.name for file in here.values()) or "nothing"
                what = f"no test set is there, in parquet and not for training ({there}); name its files one by one"
            raise UserError(f"--decontaminate {path}: {what}")
        for at, file in tests.items():
            found.setdefault(at, file)
        training |= {at: file for at, file in here.items() if at not in tests}
    return list(found.values()), list(training.values())


def names_of(files: list[Path]) -> dict[Path, str]:
    """The test sets' names; of files in several folders that are called the same, their whole paths."""
    stems = Counter(file.stem for file in files)
    return {file: file.stem if stems[file.stem] == 1 else str(file) for file in files}


def problem_texts(file: Path, option: str) -> Iterator[str]:
    """The problems of a file that are kept out: as they are in the source, or else their prompts."""
    for index, row in enumerate(read_file(file, option)):
        extra, chat = row.get("extra_info"), row.get("prompt")
        said = [extra.get("problem")] if isinstance(extra, dict) else []
        said += [chat[-1].get("content")] if isinstance(chat, list) and chat and isinstance(chat[-1], dict) else [chat]
        said += [row.get(column) for column in ("problem", "question")]
        problem = next((one for one in said if isinstance(one, str) and one), None)
        if problem is None:
            raise UserError(f"{option} {file}: row {index} has no problem: neither a chat prompt, problem nor question")
        yield problem
