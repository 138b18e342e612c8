"""The settings that decide a run's completions, checked before anything is loaded."""

from dataclasses import dataclass, field

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.deer import Deer
from sgrpo_verl.settings.escapes import miswritten, shown

METHODS = ("vanilla", "exits", "budget", "truncate-like", "no-think", "deer")
# The paper's five benchmarks, as `bash recipes/paper/data.sh` names them, and how many samples of each problem: so many
# of the small ones (40 and 30 problems) that their accuracy is not a matter of luck.
PAPER = {"gsm8k": 1, "math-500": 1, "amc23": 16, "aime24": 16, "gpqa-diamond": 1}


@dataclass(frozen=True)
class Settings:
    """The settings that decide a run's completions. A run is resumed only with the same ones. Lengths are in tokens."""

    model: str
    data: str
    benchmarks: tuple[str, ...]
    method: str = "vanilla"
    samples: int = 1
    samples_of: dict[str, int] = field(default_factory=dict)  # of benchmarks with a number of their own
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 16_384
    answer_tokens: int = 1024
    limit: int | None = None  # first problems of each benchmark
    caps: tuple[int, ...] = ()
    num_exits: int = 8  # of the method exits
    truncate_like: str | None = None
    think_start: str = "<think>"
    think_end: str = "</think>"  # empty: the model writes no thoughts, and the whole response is the answer
    exit_prompt: str = ""
    deer: Deer = field(default_factory=Deer)

    def samples_in(self, benchmark: str) -> int:
        """Samples of each problem of a benchmark."""
        return self.samples_of.get(benchmark, self.samples)

    def __post_init__(self) -> None:
        most = max([self.samples, *self.samples_of.values()])
        checks = (
            (self.method in METHODS, f"--method {self.method}: must be one of {', '.join(METHODS)}"),
            (self.samples >= 1, f"--samples {self.samples}: must be at least 1"),
            (self.limit is None or self.limit >= 1, f"--limit {self.limit}: must be at least 1"),
            (0 < self.top_p <= 1, f"--top-p {self.top_p}: must be above 0 and at most 1"),
            (self.temperature >= 0, f"--temperature {self.temperature}: must not be negative"),
            (
                most == 1 or self.temperature > 0,
                f"--samples {most} with --temperature 0: greedy samples are all the same",
            ),
            (self.num_exits >= 1, f"--num-exits {self.num_exits}: must be at least 1"),
            (self.max_tokens >= 1, f"--max-tokens {self.max_tokens}: must be at least 1"),
            (self.answer_tokens >= 1, f"--answer-tokens {self.answer_tokens}: must be at least 1"),
            (
                (self.method == "budget") == bool(self.caps),
                f"--method {self.method} with --caps {','.join(map(str, self.caps)) or 'missing'}: "
                "--method budget needs --caps, and no other method takes them",
            ),
            (
                all(cap >= 1 for cap in self.caps) and len(set(self.caps)) == len(self.caps),
                f"--caps {','.join(map(str, self.caps))}: must be different lengths of at least 1",
            ),
            (
                (self.method == "truncate-like") == (self.truncate_like is not None),
                f"--method {self.method} with --truncate-like {self.truncate_like}: they go together",
            ),
            (
                bool(self.think_end) or self.method == "vanilla",
                f"--think-end '' with --method {self.method}: where the whole response is the answer there is no "
                "thought to end; use --method vanilla",
            ),
            (
                self.think_end in self.exit_prompt,
                f"--exit-prompt {shown(self.exit_prompt)}: must contain --think-end {shown(self.think_end)}",
            ),
        )
        for option in ("think_start", "think_end", "exit_prompt"):
            if why := miswritten(text := getattr(self, option)):
                raise UserError(f"--{option.replace('_', '-')} {shown(text)} {why}")
        for right, message in (*checks, *(self._deer_checks() if self.method == "deer" else ())):
            if not right:
                raise UserError(message)

    def _deer_checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                self.think_end in self.deer.closing,
                f"--deer-closing {shown(self.deer.closing)}: must contain --think-end {shown(self.think_end)}",
            ),
            (0 <= self.deer.threshold <= 1, f"--deer-threshold {self.deer.threshold}: must be in [0, 1]"),
            (self.deer.trial_tokens >= 1, f"--deer-trial-tokens {self.deer.trial_tokens}: must be at least 1"),
            (bool(self.deer.words), "--deer-words: at least one transition word is needed"),
        )
