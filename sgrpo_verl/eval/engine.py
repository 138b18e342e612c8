"""Runs many methods side by side on one vLLM engine, whose every step serves all requests that are waiting."""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.response import Completion, Generated, Method, Request

Key = TypeVar("Key")
AT_ONCE = 4096  # problems under way; vLLM batches their requests as its memory allows


@dataclass(frozen=True)
class EngineOptions:
    """What vLLM is started with. Lengths in tokens; the defaults are vLLM's where None."""

    max_model_len: int
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False


class EngineDied(Exception):
    """One of vLLM's processes ended in the middle of a run."""


class Engine:
    """vLLM in this process."""

    def __init__(self, model: str, options: EngineOptions, temperature: float, top_p: float):
        try:
            from vllm import LLM
            from vllm.platforms import current_platform
        except ImportError as error:
            raise UserError(
                f"sgrpo eval generates with vLLM, which is not installed here ({error}): pip install "
                "'sgrpo-verl[vllm]' on a GPU machine, or 'sgrpo-verl[cpu]' without a GPU"
            ) from error
        settings: dict[str, Any] = {
            "max_model_len": options.max_model_len,
            "dtype": options.dtype,
            "tensor_parallel_size": options.tensor_parallel_size,
            "enforce_eager": options.enforce_eager,
            "enable_prefix_caching": True,
        }
        for name in ("gpu_memory_utilization", "max_num_seqs"):
            if (value := getattr(options, name)) is not None:
                settings[name] = value
        if current_platform.is_cpu():  # there, the share is one of main memory, and compiling takes minutes
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # vLLM compiles some small functions all the same
            settings = {"gpu_memory_utilization": 0.2, **settings, "enforce_eager": True}
            # A prompt split over two steps with a seed of its own ends vLLM there: torch's CPU generator has no offset.
            settings |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(4096, options.max_model_len)}
        self._llm = LLM(model=model, **settings)
        self._engine = self._llm.llm_engine
        self._temperature, self._top_p = temperature, top_p
        self.generated_tokens = 0

    def run(self, jobs: Iterable[tuple[Key, int, Method]]) -> Iterator[tuple[Key, list[Completion]]]:
        """The completions of each job as it ends, in any order.

        Args:
            jobs: a key, a seed and a method for each. A job's samples depend on its own seed only.
        """
        waiting = deque(jobs)
        running: dict[str, _Job] = {}
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                key, seed, method = waiting.popleft()
                job = _Job(key, seed, method)
                if (completions := self._send(job, None, running)) is not None:
                    yield job.key, completions
            for output in self._step():
                if not output.finished:
                    continue
                job = running.pop(output.request_id)
                job.results[output.request_id] = generated = _generated(output)
                self.generated_tokens += len(generated.token_ids)
                if len(job.results) == len(job.requests):
                    answers = [job.results[request_id] for request_id in job.requests]
                    if (completions := self._send(job, answers, running)) is not None:
                        yield job.key, completions

    def _step(self) -> list[Any]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return self._engine.step()
        except EngineDeadError as error:
            raise EngineDied(str(error)) from error

    def _send(
        self, job: "_Job", answers: list[Generated] | None, running: dict[str, "_Job"]
    ) -> list[Completion] | None:
        """Hand the answers to the job's method and its next requests to vLLM; its completions if it has ended."""
        try:
            requests = next(job.method) if answers is None else job.method.send(answers)
            while not requests:  # a round that needs nothing, such as a budget that no thought exceeds
                requests = job.method.send([])
        except StopIteration as ended:
            return ended.value
        job.requests, job.results = [], {}
        for request in requests:
            request_id = f"{id(job)}-{job.sent}"
            self._engine.add_request(
                request_id, {"prompt_token_ids": request.prompt_ids}, self._sampling(request, job.seed, job.sent)
            )
            job.sent += 1
            job.requests.append(request_id)
            running[request_id] = job
        return None

    def _sampling(self, request: Request, seed: int, number: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        temperature = 0.0 if request.greedy else self._temperature
        digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
        return SamplingParams(
            temperature=temperature,
            top_p=1.0 if request.greedy else self._top_p,
            max_tokens=request.max_tokens,
            stop=list(request.stop),
            include_stop_str_in_output=True,
            skip_special_tokens=False,  # else a </think> that is a special token could stop nothing
            logprobs=0 if request.greedy else None,
            seed=int.from_bytes(digest[:4], "big") if temperature > 0 else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def close(self) -> None:
        """End vLLM's processes."""
        self._engine.engine_core.shutdown()

    @property
    def tokenizer(self) -> Any:
        return self._llm.get_tokenizer()


class _Job:
    """A method under way: its open requests, in order, and those answered."""

    def __init__(self, key: Any, seed: int, method: Method):
        self.key, self.seed, self.method = key, seed, method
        self.requests: list[str] = []
        self.results: dict[str, Generated] = {}
        self.sent = 0


def _generated(output: Any) -> Generated:
    [completion] = output.outputs
    ids = list(completion.token_ids)
    log_probs = None
    if completion.logprobs is not None:
        log_probs = [position[token].logprob for position, token in zip(completion.logprobs, ids, strict=True)]
    stopped_by = completion.stop_reason if isinstance(completion.stop_reason, str) else None
    return Generated(ids, log_probs, stopped_by, completion.finish_reason == "length")
