"""Lets verl run on a machine with no accelerator. Nothing here is specific to S-GRPO.

Active if torch was built without support for any accelerator, or with ``VERL_PLATFORM=cpu``. Otherwise it is only a
name in verl's registry of platforms.
"""
