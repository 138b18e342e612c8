"""Checks for ``sgrpo doctor`` whether vLLM can run here: its compiled library loads, and an engine answers a prompt.

Each check is a process of its own (``python -m sgrpo_verl.engine.check library|engine``), so that what vLLM leaves
behind, writes and holds of memory ends with it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from sgrpo_verl.engine.log import cause_in

SECONDS = {"library": 120, "engine": 300}
SHOWN = 5  # last lines of a check whose output holds no error


def failure(check: str) -> str | None:
    """One sentence about what is wrong with vLLM's ``library`` or ``engine``; None if it works."""
    command = [sys.executable, "-m", "sgrpo_verl.engine.check", check]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS[check]
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS[check]} seconds"
    if done.returncode == 0:
        return None
    return cause_in(done.stdout) or " ".join(done.stdout.splitlines()[-SHOWN:]) or f"exit status {done.returncode}"


def _library() -> None:
    """Load vLLM's compiled library as vLLM does on this platform; vLLM itself only warns if that fails."""
    import logging
    import os

    os.environ["VLLM_LOGGING_LEVEL"] = "WARNING"  # whatever the caller's
    import verl  # noqa: F401  # whose plugins name the CPU build of vLLM as verl and vLLM itself look for it
    from vllm.platforms import current_platform

    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("vllm").addHandler(handler)
    current_platform.import_kernels()
    if failed := [warning for warning in warnings if "Failed to import" in warning]:
        print("\n".join(failed))
        sys.exit(1)


def _engine() -> None:
    """One greedy answer of eight tokens from a model of random weights."""
    from sgrpo_verl.eval.engine import Engine, EngineOptions
    from sgrpo_verl.eval.response import Method, Request
    from sgrpo_verl.workbench.model import write_random_model

    with tempfile.TemporaryDirectory() as folder:
        model = write_random_model(Path(folder) / "model")
        engine = Engine(str(model), EngineOptions(max_model_len=64, dtype="float32"), temperature=0, top_p=1)
        prompt_ids = engine.tokenizer.encode("1+1=", add_special_tokens=False)

        def answer() -> Method:  # greedy requests ask for log-probs, as training does
            [generated] = yield [Request(prompt_ids, max_tokens=8, greedy=True)]
            print(f"answered with {len(generated.token_ids)} tokens of log-probs {generated.log_probs}")
            return []

        list(engine.run([("prompt", 0, answer())]))
        engine.close()


if __name__ == "__main__":
    {"library": _library, "engine": _engine}[sys.argv[1]]()
