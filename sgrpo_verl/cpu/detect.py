"""Whether verl is to run on the CPU. Imports nothing of verl's, whose own import of a platform asks this."""

import os

import torch


def torch_has_no_accelerator() -> bool:
    """Whether this torch was built for the CPU only.

    Not whether a GPU is visible: the head node of a GPU cluster has none, but the cluster's torch, and must stay CUDA.
    """
    builds = (torch.version.cuda, torch.version.hip, getattr(torch.version, "xpu", None))
    plugged_in = torch._C._get_privateuse1_backend_name() != "privateuseone"  # torch_npu and its like
    return not any(builds) and not plugged_in and not torch.accelerator.is_available()


def chosen_or_detected() -> bool:
    """Whether ``VERL_PLATFORM=cpu`` is set, or no platform is chosen and torch supports no accelerator."""
    chosen = os.environ.get("VERL_PLATFORM", "").strip().lower()
    return chosen == "cpu" if chosen else torch_has_no_accelerator()
