"""Is this answer right: a reward function for verl (``reward.custom_reward_function.path=pkg://sgrpo_verl.correctness``).

Mathematics is compared by math-verify. Its own time limits use signals, which raise in verl's reward threads, and a
pathological expression can take for ever or all memory: so it runs in a process pool that kills what overruns.
"""

import multiprocessing
import re
import threading
from typing import Any

from pebble import ProcessPool

from sgrpo_verl.config import THINK_END

SECONDS_PER_CHECK = 5.0
MEMORY_PER_CHECK = 4 << 30  # bytes of address space
LONGEST_ANSWER = 2_000  # characters; a longer final answer is wrong, and parsing it only costs time
LONGEST_PROSE = 10_000  # characters searched from the end
PROSE_NUMBER = re.compile(r"-?\d{1,3}(?: \d{3})+(?!\d)|-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
RESULT = re.compile(rf"(?:=|>>|\bequals)\s*\$?\s*({PROSE_NUMBER.pattern})")
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
LONE_NUMBER = re.compile(rf"\({NUMBER.pattern}\)")

_pool: ProcessPool | None = None
_pool_lock = threading.Lock()


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    think_end: str = THINK_END,
    **kwargs: Any,
) -> float:
    """1.0 if the final answer of a response equals the ground truth, else 0.0; never raises, bounded in time.

    The arguments are verl's (``verl/utils/reward_score``). Only what follows the last ``think_end`` counts; a response
    without one counts whole, because S-GRPO passes an answer alone. Where ``extra_info["choices"]`` has the letters of
    a multiple choice ("ABCD"), the letter is compared; else the answers are, as mathematics.
    """
    text = str(solution_str).rsplit(think_end, 1)[-1]
    if choices := (extra_info or {}).get("choices"):
        return float(final_choice(text, choices) == str(ground_truth).strip().upper())
    answer = final_answer(text)
    return float(answer is not None and equal(answer, str(ground_truth)))


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends on; None if there is none.

    The last ``\boxed{…}``, braces balanced; else what follows the last ``####`` (GSM8K); else, of plain prose, the
    result of the last equation, or the last number; else the last line.
    """
    start = text.rfind("\\boxed{")
    if start >= 0:
        return _balanced(text[start + len("\\boxed") :])
    if "####" in text:
        return text.rsplit("####", 1)[1].strip().split("\n")[0]
    last_line = text.strip().split("\n")[-1]
    if "\\" not in last_line:
        prose = text[-LONGEST_PROSE:]
        numbers = RESULT.findall(prose) or PROSE_NUMBER.findall(prose)
        if numbers:
            return numbers[-1].replace(" ", "").rstrip(",")
    return last_line or None


def final_choice(text: str, choices: str) -> str | None:
    r"""The letter that a response to a multiple choice ends on; None if there is none.

    The last ``\boxed{…}`` if it starts with a letter of ``choices`` of its own ("B", "(B)", "\text{B) 3 m}"); without a
    box, the letter after the last "answer is" or "answer:"; else a last line that is nothing but a letter.
    """
    letter = rf"(?:\\(?:text|mathrm|mathbf|textbf)\{{)?[\s(*]*([{re.escape(choices)}])(?![A-Za-z0-9'])"
    start = text.rfind("\\boxed{")
    if start >= 0:
        found = re.match(letter, _balanced(text[start + len("\\boxed") :]) or "", re.IGNORECASE)
        return found[1].upper() if found else None
    prose = text[-LONGEST_PROSE:]
    said = re.findall(rf"(?i:answer\s*(?:is|:))[\s:*]*{letter}", prose)
    if said:
        return said[-1]
    alone = re.fullmatch(rf"{letter}[\s).*]*", prose.strip().split("\n")[-1].strip(), re.IGNORECASE)
    return alone[1].upper() if alone else None


def _balanced(text: str) -> str | None:
    """The content of the braces that ``text`` starts with; None where they are never closed: an answer cut in half."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:position]
    return None


def equal(answer: str, ground_truth: str) -> bool:
    """Whether two answers are mathematically the same; cheap where they are the same text or two plain numbers."""
    ours, truth = _normalize(answer), _normalize(ground_truth)
    if not ours or len(ours) > LONGEST_ANSWER:
        return False
    if ours == truth:
        return True
    if NUMBER.fullmatch(ours) and NUMBER.fullmatch(truth):
        return float(ours) == float(truth)
    try:
        return bool(_get_pool().schedule(_math_verify, args=[answer, ground_truth], timeout=SECONDS_PER_CHECK).result())
    except (
        Exception
    ):  # it ran too long, took too much memory or killed its process: whatever it was, it is not the answer
        return False


def _normalize(answer: str) -> str:
    """Without what never changes an answer: spaces, signs of dollar and percent, a final stop, grouping, text commands.

    And a number without the parentheses around it, as in the "(073)" of a contest's answer sheet.
    """
    answer = re.sub(r"\\(?:text|mathrm|textbf|mbox)\{([^{}]*)\}", r"\1", answer.strip().strip("$").rstrip("."))
    answer = (
        re.sub(r"\\(?:left|right|!|,|;|:|\s)", "", answer).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    )
    if LONE_NUMBER.fullmatch(answer):
        answer = answer[1:-1]
    answer = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", answer)
    return re.sub(r"\s|\\\$|\\?%$", "", answer)


def _get_pool() -> ProcessPool:
    """One pool for each reward process, started when first needed; spawned, because a fork would copy Ray's threads."""
    global _pool
    with _pool_lock:
        if _pool is None or not _pool.active:
            _pool = ProcessPool(max_workers=2, initializer=_start_process, context=multiprocessing.get_context("spawn"))
        return _pool


def _start_process() -> None:
    """Bound a pool process's memory, and import math-verify before a check's time runs: seconds, on a busy machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_PER_CHECK, MEMORY_PER_CHECK))
    _math_verify("\\frac{1}{2}", "0.5")


def _math_verify(answer: str, ground_truth: str) -> bool:
    """In the pool's process: math-verify without its signals."""
    import logging

    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    extraction = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    boxed = "\\boxed{%s}"
    truth = parse(boxed % ground_truth, extraction_config=extraction, parsing_timeout=None)
    ours = parse(boxed % answer, extraction_config=extraction, parsing_timeout=None)
    return bool(verify(truth, ours, timeout_seconds=None))
