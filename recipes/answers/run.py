"""How often a scorer is wrong: solutions of public test sets against right truths, others' truths, and near misses.

    python -m recipes.answers.run --benchmarks FOLDER --out outputs/answers

``FOLDER`` holds ``math500.jsonl``, ``gsm8k_test.jsonl`` and ``aime24.jsonl``, each line with an answer and a solution.
Three scorers judge the same pairs in one run: ours, math-verify's ``verify(parse(truth), parse(text))`` on the
whole text, and verl's ``reward_score/math_verify.py``. They also judge the hard pairs beside this file, kind by kind;
without ``FOLDER``, only those.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from recipes import command
from sgrpo_verl.answers.notation import balanced
from sgrpo_verl.correctness import compute_score
from sgrpo_verl.data.local import read_file
from sgrpo_verl.errors import UserError
from sgrpo_verl.files import write_whole

HARD = ("hard_first", "hard_whole")
FILES = {"MATH-500": "math500.jsonl", "GSM8K": "gsm8k_test.jsonl", "AIME24": "aime24.jsonl"}
console = Console()


@dataclass(frozen=True)
class Pair:
    """A text, a truth, and whether the text's answer is that truth."""

    benchmark: str
    form: str  # how the solution is written: as it is, without the box, in bare prose
    kind: str  # what the truth is: its own, another problem's, a near miss
    text: str
    truth: str

    @property
    def right(self) -> bool:
        return self.kind == "own"


def forms(benchmark: str, solution: str, answer: str) -> Iterator[tuple[str, str]]:
    """A solution as people and models write it."""
    yield "as it is", f"{solution}\n#### {answer}" if benchmark == "GSM8K" else solution
    unboxed = without_box(solution)
    yield "without the box", unboxed
    yield "in bare prose", re.sub(r"\$+|\\[()\[\]]", "", unboxed)


def without_box(text: str) -> str:
    """A solution whose boxes are taken away and their contents left."""
    while (start := text.find("\\boxed{")) >= 0:
        content = balanced(text[start + len("\\boxed") :])
        if content is None:
            return text
        text = text[:start] + content + text[start + len("\\boxed{}") + len(content) :]
    return text


def near_misses(answer: str) -> Iterator[tuple[str, str]]:
    """Truths that look like the answer and are not: sign, factor 10, one more, numerator and denominator swapped."""
    if re.fullmatch(r"-?[\d,]+(?:\.\d+)?", answer):
        plain = answer.replace(",", "")
        if float(plain):
            yield "sign", plain.removeprefix("-") if plain.startswith("-") else f"-{plain}"
            yield "factor 10", f"{plain}0" if "." not in plain else plain.replace(".", "")
        if "." not in plain:
            yield "one more", str(int(plain) + 1)
            yield "one less", str(int(plain) - 1)
        return
    if answer.startswith("-"):
        yield "sign", answer[1:]
    elif re.match(r"\\[dt]?frac|\\sqrt|\d|[a-z]\b", answer) and "," not in answer:
        yield "sign", f"-{answer}" if not re.search(r"[-+=<>]", answer) else f"-({answer})"
    if (found := re.search(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}", answer)) and found[1] != found[2]:
        yield "swapped", answer.replace(found[0], f"\\frac{{{found[2]}}}{{{found[1]}}}")
    if found := re.search(r"(?<![\d.^_{])\d+(?![\d.])", answer):
        yield "one more", f"{answer[: found.start()]}{int(found[0]) + 1}{answer[found.end() :]}"


def pairs(folder: Path) -> Iterator[Pair]:
    rng = random.Random(0)
    for benchmark, file in FILES.items():
        rows = solved(folder / file)
        for answer, solution in rows:
            other = rng.choice([one for one, _ in rows if one != answer])
            truths = [("own", answer), ("another", other), *near_misses(answer)]
            for form, text in forms(benchmark, solution, answer):
                for kind, truth in truths:
                    yield Pair(benchmark, form, kind, text, truth)


def solved(file: Path) -> list[tuple[str, str]]:
    """Every problem's answer and solution.

    Raises:
        UserError: the file cannot be read, lacks one of them, or has one answer alone, so that no other is wrong.
    """
    problems = read_file(file, "--benchmarks")
    if missing := [name for name in ("answer", "solution") if any(one.get(name) in (None, "") for one in problems)]:
        raise UserError(f"--benchmarks {file}: not every problem has {' and '.join(missing)}; each needs both")
    rows = [(str(one["answer"]), str(one["solution"])) for one in problems]
    if len({answer for answer, _ in rows}) < 2:
        raise UserError(f"--benchmarks {file}: all answers are {rows[0][0]}; a truth that is wrong is another's answer")
    return rows


def hard_pairs() -> Iterator[Pair]:
    """Our own: those that our first rules were written with, and those of what was not read whole."""
    for name in HARD:
        for line in (Path(__file__).parent / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            kind = "own" if row["right"] else "hard"
            yield Pair(name.replace("_", " "), row["kind"], kind, row["response"], row["truth"])


def ours(text: str, truth: str) -> bool:
    return bool(compute_score("benchmark", text, truth))


def math_verify(text: str, truth: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"\\boxed{{{truth}}}"), parse(text)))


def verls(text: str, truth: str) -> bool:
    from verl.utils.reward_score.math_verify import compute_score

    return bool(compute_score(text, truth))


def judge(scorer: Callable[[str, str], bool], every: list[Pair], name: str) -> list[bool]:
    """Each pair's verdict; math-verify one by one in this thread, since its time limits are signals."""
    if scorer is math_verify:
        return [scorer(pair.text, pair.truth) for pair in track(every, description=name, console=console)]
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda pair: scorer(pair.text, pair.truth), every)
        return list(track(results, total=len(every), description=name, console=console))


def table(every: list[Pair], verdicts: dict[str, list[bool]]) -> str:
    """Markdown: for each benchmark and form, what each scorer found and what it took for right."""
    lines = [
        "| benchmark | form | right pairs | wrong pairs | "
        + " | ".join(f"{name}: found, false" for name in verdicts)
        + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(verdicts),
    ]
    groups = dict.fromkeys((pair.benchmark, pair.form) for pair in every)
    whole = dict.fromkeys((pair.benchmark, "all") for pair in every)
    for benchmark, form in [*groups, *whole, ("all", "all")]:
        chosen = [
            index
            for index, pair in enumerate(every)
            if benchmark in ("all", pair.benchmark) and form in ("all", pair.form)
        ]
        right = [index for index in chosen if every[index].right]
        wrong = [index for index in chosen if not every[index].right]
        cells = [
            f"{_share(sum(found[index] for index in right), len(right))}, {sum(found[index] for index in wrong)}"
            for found in verdicts.values()
        ]
        lines.append(f"| {benchmark} | {form} | {len(right)} | {len(wrong)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(found: int, every: int) -> str:
    return f"{found / every:.1%}" if every else "–"


def main(
    benchmarks: Annotated[Path | None, typer.Option(envvar="SGRPO_BENCHMARKS", help="Folder of the test sets.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables and the mistakes.")] = Path("outputs/answers"),
    only_ours: Annotated[bool, typer.Option("--only-ours", help="Without math-verify and verl.")] = False,
) -> None:
    """Judge every pair with every scorer; print and write a table of the hard pairs and one of the test sets."""
    scorers = {"ours": ours} if only_ours else {"ours": ours, "math-verify": math_verify, "verl": verls}
    tables = {"hard": list(hard_pairs())}
    if benchmarks:
        tables["benchmarks"] = list(pairs(benchmarks))
    out = command.made(out)
    for name, every in tables.items():
        console.print(f"{len(every)} pairs: {dict(Counter(pair.kind for pair in every))}")
        verdicts = {scorer: judge(judging, every, scorer) for scorer, judging in scorers.items()}
        mistakes = [
            {"scorer": scorer, "said": said, **vars(pair)}
            for scorer, found in verdicts.items()
            for pair, said in zip(every, found, strict=True)
            if said != pair.right
        ]
        write_whole(out / f"{name}_mistakes.jsonl", "".join(json.dumps(mistake) + "\n" for mistake in mistakes))
        text = table(every, verdicts)
        write_whole(out / f"{name}.md", text + "\n")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
