"""The settings that decide a run's completions, checked before anything is loaded."""

from dataclasses import dataclass, field

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.deer import Deer

METHODS = ("vanilla", "budget", "truncate-like", "no-think", "deer")


@dataclass(frozen=True)
class Settings:
    """The settings that decide a run's completions. A run is resumed only with the same ones. Lengths are in tokens."""

    model: str
    data: str
    benchmarks: tuple[str, ...]
    method: str = "vanilla"
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 16_384
    answer_tokens: int = 1024
    limit: int | None = None  # first problems of each benchmark
    caps: tuple[int, ...] = ()
    truncate_like: str | None = None
    think_start: str = "<think>"
    think_end: str = "</think>"  # empty: the model writes no thoughts, and the whole response is the answer
    exit_prompt: str = ""
    deer: Deer = field(default_factory=Deer)

    def __post_init__(self) -> None:
        checks = (
            (self.method in METHODS, f"--method {self.method}: must be one of {', '.join(METHODS)}"),
            (self.samples >= 1, f"--samples {self.samples}: must be at least 1"),
            (self.limit is None or self.limit >= 1, f"--limit {self.limit}: must be at least 1"),
            (0 < self.top_p <= 1, f"--top-p {self.top_p}: must be above 0 and at most 1"),
            (self.temperature >= 0, f"--temperature {self.temperature}: must not be negative"),
            (
                self.samples == 1 or self.temperature > 0,
                f"--samples {self.samples} with --temperature 0: greedy samples are all the same",
            ),
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
                f"--exit-prompt {self.exit_prompt!r}: must contain --think-end {self.think_end!r}",
            ),
            (
                self.think_end in self.deer.closing,
                f"--deer-closing {self.deer.closing!r}: must contain --think-end {self.think_end!r}",
            ),
            (0 <= self.deer.threshold <= 1, f"--deer-threshold {self.deer.threshold}: must be in [0, 1]"),
            (self.deer.trial_tokens >= 1, f"--deer-trial-tokens {self.deer.trial_tokens}: must be at least 1"),
            (bool(self.deer.words), "--deer-words: at least one transition word is needed"),
        )
        for right, message in checks:
            if not right:
                raise UserError(message)
