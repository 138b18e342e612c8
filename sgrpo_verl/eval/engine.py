"""One vLLM engine in this process, whose every step serves all requests that are waiting."""

import hashlib
import os
from dataclasses import dataclass
from typing import Any

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.jobs import Answering, EngineDied, RequestId
from sgrpo_verl.eval.response import Generated, Request

TOLD_EVERY = 64  # tokens: how often vLLM says how far a request is, for the progress bar


@dataclass(frozen=True)
class EngineOptions:
    """What vLLM is started with. Lengths in tokens; the defaults are vLLM's where None."""

    max_model_len: int
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False


class Engine(Answering):
    """vLLM in this process."""

    def __init__(self, model: str, options: EngineOptions, temperature: float, top_p: float):
        super().__init__()
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
            "stream_interval": TOLD_EVERY,
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

    def add(self, request_id: RequestId, request: Request, seed: int) -> None:
        job, number = request_id
        sampling = self._sampling(request, seed, number)
        self._engine.add_request(f"{job}-{number}", {"prompt_token_ids": request.prompt_ids}, sampling)

    def step(self) -> list[tuple[RequestId, Generated]]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            outputs: list[Any] = self._engine.step()
        except EngineDeadError as error:
            raise EngineDied(str(error)) from error
        ended = []
        for output in outputs:
            job, _, number = output.request_id.partition("-")
            request_id = (int(job), int(number))
            if output.finished:
                self.under_way.pop(request_id, None)
                ended.append((request_id, _generated(output)))
            else:
                self.under_way[request_id] = len(output.outputs[0].token_ids)
        return ended

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
            output_kind=RequestOutputKind.CUMULATIVE,
        )

    def close(self) -> None:
        self._engine.engine_core.shutdown()

    @property
    def tokenizer(self) -> Any:
        return self._llm.get_tokenizer()


def _generated(output: Any) -> Generated:
    [completion] = output.outputs
    ids = list(completion.token_ids)
    log_probs = None
    if completion.logprobs is not None:
        log_probs = [position[token].logprob for position, token in zip(completion.logprobs, ids, strict=True)]
    stopped_by = completion.stop_reason if isinstance(completion.stop_reason, str) else None
    return Generated(ids, log_probs, stopped_by, completion.finish_reason == "length")
