"""Loaded into verl's processes (``VERL_USE_EXTERNAL_MODULES``): saves what a step trained on and the engine's weights.

``SGRPO_SPY=FOLDER`` names where: ``STEP-rows.pt`` and ``STEP-engine.pt``. As a step is measured, verl has just sent the
weights that it trained to the engine.
"""

import os
from pathlib import Path

import wrapt


def _save_weights(worker, file):
    """In vLLM's worker."""
    import torch

    torch.save({name: value.detach().clone() for name, value in worker.model_runner.model.named_parameters()}, file)


def _install(trainer_base):
    def compute_metrics(wrapped, trainer, args, kwargs):
        import ray
        import torch
        import transfer_queue as tq

        folder = Path(os.environ["SGRPO_SPY"])
        server = trainer._rollout_server_managers()[-1].server_handles[0]  # the standalone one, where there are two
        file = str(folder / f"{trainer.global_steps}-engine.pt")
        ray.get(server.collective_rpc.remote(_save_weights, kwargs={"file": file}))
        batch = kwargs.get("batch") or args[0]
        names = ["prompts", "responses", "response_mask", "rollout_log_probs", "old_log_probs"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=names)
        rows = [
            {"key": key, "tag": tag, **{name: data[name][number] for name in names}}
            for number, (key, tag) in enumerate(zip(batch.keys, batch.tags, strict=True))
            if not tag.get("is_padding", False)
        ]
        torch.save(rows, folder / f"{trainer.global_steps}-rows.pt")
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(trainer_base, "PPOTrainer._compute_metrics", compute_metrics)


if "SGRPO_SPY" in os.environ:
    wrapt.when_imported("verl.trainer.ppo.v1.trainer_base")(_install)
