"""verl's FSDP engine with packed rows: packs what goes into the model, unpacks what comes out of it.

A model loaded with ``attn_implementation="sgrpo_packed"`` is what tells an engine to pack. verl has no registry between
its rows and the model, so a few functions are wrapped (``hooks.table``); for any other model they remain verl's own.
"""

import math
from collections.abc import Callable
from inspect import BoundArguments
from typing import Any

import torch
from tensordict import TensorDict

from sgrpo_verl.packed import flex
from sgrpo_verl.packed.asked import Asked, LeavesOut, asked_of, decoder_of
from sgrpo_verl.packed.attention import register
from sgrpo_verl.packed.first_use import compare_once
from sgrpo_verl.packed.layout import groups_of, pack, packed_length

PACKED = "sgrpo_packed"  # non-tensor entry of a batch whose micro-batches hold whole groups
_PACKING = "sgrpo_packing"  # in output_args
# What verl's prepare_model_inputs and prepare_model_outputs read of a micro-batch, beside its rows.
_OPTIONS = (
    "pad_mode",
    "use_fused_kernels",
    "temperature",
    "calculate_entropy",
    "calculate_sum_pi_squared",
    "distillation_use_topk",
    "distillation_only",
)


def initialize(wrapped: Callable, engine: Any, call: BoundArguments) -> None:
    """Hook: the engine builds its model."""
    register()
    wrapped(*call.args, **call.kwargs)
    _forget_the_name(engine)
    engine.sgrpo_leaves_out = LeavesOut()
    decoder_of(engine.module).register_forward_hook(engine.sgrpo_leaves_out)


def _forget_the_name(engine: Any) -> None:
    """verl writes overrides of a model's config into its checkpoints, where nobody else would know this attention."""
    for config in (engine.model_config.hf_config, engine.module.config):
        vars(config).pop("attn_implementation", None)  # transformers keeps its own in a private attribute


def forward_backward_batch(wrapped: Callable, engine: Any, call: BoundArguments) -> Any:
    """Hook: a batch comes in. It is marked for ``prepare_micro_batches``, which verl calls without its engine."""
    from verl.utils import tensordict_utils as tu

    data = call.arguments["data"]
    compare_once(engine, data)
    tu.assign_non_tensor(data, **{PACKED: True})
    return wrapped(*call.args, **call.kwargs)


def is_packed(data: TensorDict) -> bool:
    """Whether a batch is marked as one whose groups are packed."""
    from verl.utils import tensordict_utils as tu

    return bool(tu.get(data, PACKED, False))


def prepare_micro_batches(wrapped: Callable, _: Any, call: BoundArguments) -> Any:
    """Hook: micro-batches by the length of packed groups, where verl chooses them by the length of rows."""
    from verl.utils import tensordict_utils as tu

    data = call.arguments["data"]
    if not tu.get(data, "use_dynamic_bsz", True):
        return wrapped(*call.args, **call.kwargs)
    rows = data["input_ids"].cpu().unbind()
    limit, ranks = data["max_token_len_per_gpu"], tu.get(data, "sp_size", 1)
    parts = [part for group in groups_of(data["prompts"]) for part in _parts(group, rows, limit * ranks)]
    _split(parts, _most_of_any_rank(len(parts), call.arguments["dp_group"]))
    lengths = [packed_length([rows[index] for index in part]) for part in parts]
    packed = TensorDict(
        {
            "input_ids": torch.nested.nested_tensor_from_jagged(
                torch.empty(sum(lengths)), torch.tensor([0, *lengths]).cumsum(0)
            )
        },
        batch_size=[len(parts)],
    )
    tu.assign_non_tensor(packed, use_dynamic_bsz=True, max_token_len_per_gpu=limit, sp_size=ranks)
    call.arguments["data"] = packed
    _, batches_of_parts = wrapped(*call.args, **call.kwargs)
    batches = [[row for part in sorted(batch) for row in parts[part]] for batch in batches_of_parts]
    return [tu.index_select_tensor_dict(data, batch) for batch in batches], batches


def _parts(group: list[int], rows: tuple[torch.Tensor, ...], limit: int) -> list[list[int]]:
    """The whole group, or halves of it if it is longer than a micro-batch may be."""
    if len(group) == 1 or packed_length([rows[index] for index in group]) <= limit:
        return [group]
    middle = len(group) // 2
    return [*_parts(group[:middle], rows, limit), *_parts(group[middle:], rows, limit)]


def _most_of_any_rank(count: int, group: torch.distributed.ProcessGroup | None) -> int:
    """The largest number of parts on any rank: all ranks make equally many micro-batches, so none may have fewer."""
    if group is None or group.size() == 1:
        return count
    from verl.utils.device import get_device_name

    most = torch.tensor(count, device=get_device_name())
    torch.distributed.all_reduce(most, op=torch.distributed.ReduceOp.MAX, group=group)
    return int(most)


def _split(parts: list[list[int]], count: int) -> None:
    """Halve the parts with the most rows until there are ``count``. All ranks have equally many rows, so this works."""
    while len(parts) < count:
        largest = max(range(len(parts)), key=lambda index: len(parts[index]))
        part = parts[largest]
        parts[largest : largest + 1] = [part[: len(part) // 2], part[len(part) // 2 :]]


def prepare_model_inputs(wrapped: Callable, engine: Any, call: BoundArguments) -> Any:
    """Hook: a micro-batch becomes the model's inputs."""
    from verl.utils import tensordict_utils as tu

    micro_batch = call.arguments["micro_batch"]
    if micro_batch["position_ids"].dim() != 2:
        raise ValueError("algorithm.sgrpo.layout=packed takes models with one position per token; set layout=rows")
    rows = micro_batch["input_ids"]
    # Whole blocks on an accelerator: few lengths for the compiled kernel. Equal slices for every rank of a sequence.
    accelerated = rows.device.type != "cpu"
    multiple = math.lcm(flex.BLOCK if accelerated else 1, engine.ulysses_sequence_parallel_size)
    packing = pack(rows, groups_of(micro_batch["prompts"]), multiple)
    if accelerated:
        flex.remember(packing.visible, packing.segments)
    options = {name: tu.get(micro_batch, name) for name in _OPTIONS if name in micro_batch}
    packed = TensorDict(
        {"input_ids": packing.input_ids, "position_ids": packing.position_ids},
        batch_size=[packing.input_ids.size(0)],
    )
    options["use_remove_padding"] = True
    tu.assign_non_tensor(packed, **options)
    model_inputs, output_args = wrapped(micro_batch=packed)
    model_inputs["attention_mask"] = packing.visible
    # A distillation's loss is its own function of every token's logits.
    ranks = engine.ulysses_sequence_parallel_size
    before_update = not torch.is_grad_enabled()
    topk = options.get("distillation_use_topk")
    asked = None if topk else asked_of(micro_batch, packing, ranks, inserted=before_update)
    if asked is not None:
        packed = TensorDict({"input_ids": asked.placeholder()}, batch_size=[1])
        tu.assign_non_tensor(packed, **options)
        _ask(engine, asked, model_inputs, output_args)
    return model_inputs, {**output_args, _PACKING: (packing, packed, asked)}


def _ask(engine: Any, asked: Asked, model_inputs: dict[str, Any], output_args: dict[str, Any]) -> None:
    """Compute only the logits asked for, with labels and temperatures to match, so that verl reads them as usual."""
    mesh = engine.ulysses_device_mesh
    positions = asked.of_rank[0 if mesh is None else mesh["sp"].get_local_rank()]
    engine.sgrpo_leaves_out.positions = positions
    for name in ("input_ids_rmpad_rolled", "temperature_rmpad"):
        output_args[name] = output_args[name][positions]
    output_args["pad_size"] = 0
    if "shift_labels" in model_inputs:  # of fused kernels
        model_inputs["shift_labels"] = model_inputs["shift_labels"][:, positions]


def prepare_model_outputs(wrapped: Callable, engine: Any, call: BoundArguments) -> Any:
    """Hook: the model's output becomes log-probs and entropies of the micro-batch's rows."""
    packing, packed, asked = call.arguments["output_args"][_PACKING]
    rows = call.arguments["micro_batch"]["input_ids"].offsets()
    call.arguments["micro_batch"] = packed
    outputs = wrapped(*call.args, **call.kwargs)
    engine.sgrpo_leaves_out.positions = None
    values = {name: output.values() for name, output in outputs.items()}
    if asked is not None:
        values = {name: asked.to_packed(one) for name, one in values.items()}
    return {name: packing.to_rows(one, rows) for name, one in values.items()}
