"""Installs the hooks of ``table`` when verl imports the module concerned, and says whether they are in place."""

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import wrapt

from sgrpo_verl.hooks.table import HOOKS, Hook

logger = logging.getLogger("sgrpo_verl")
# verl's vLLM server raises the root's level, and its handlers', to ERROR. What we warn of must be seen all the same.
logger.setLevel(logging.WARNING)
_own = logging.StreamHandler()
_own.setFormatter(logging.Formatter("%(levelname)s:%(asctime)s:%(message)s"))  # as verl's
_own.addFilter(lambda record: all(one.level > record.levelno for one in logging.getLogger().handlers))
logger.addHandler(_own)
_registered: set[Hook] = set()  # in this process


def install() -> None:
    """Arrange for every hook to be installed as soon as its module is imported; imports none of them."""
    for hook in HOOKS:
        if hook.ours:
            wrapt.when_imported(hook.module)(_guarded(hook))


def _guarded(hook: Hook) -> Callable[[ModuleType], None]:
    """Install a hook so that an error of ours does not become an error of verl's."""

    def run(module: ModuleType) -> None:
        try:
            install_one(hook, module)
        except Exception as error:
            logger.warning(
                "sgrpo-verl could not register with %s (%s: %s). verl continues, but S-GRPO or the CPU platform will "
                "not work. Install a version of verl that sgrpo-verl's README names as tested, and sgrpo-verl again.",
                module.__name__,
                type(error).__name__,
                error,
            )

    return run


def install_one(hook: Hook, module: ModuleType) -> None:
    """Wrap the hook's function in ``module``, or register with it.

    Raises:
        Exception: the function is gone or takes other parameters, or our own registration failed.
    """
    if change := _change(hook, module):
        raise AttributeError(change)
    if hook.registers:
        _ours(hook)(module)
        _registered.add(hook)
    else:
        wrapt.wrap_function_wrapper(module, hook.function, _wrapper(hook))


def _wrapper(hook: Hook) -> Callable:
    def wrapper(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        call = inspect.signature(wrapped).bind(*args, **kwargs)
        call.apply_defaults()
        if hook.acts is not None and not hook.acts(instance, call.arguments):
            return wrapped(*args, **kwargs)
        return _ours(hook)(wrapped, instance, call)

    return wrapper


def _ours(hook: Hook) -> Callable:
    module, _, name = (hook.ours or "").partition(":")
    return getattr(importlib.import_module(module), name)


def in_place(hook: Hook) -> bool:
    """Whether a hook is installed in this process; imports verl's module."""
    module = importlib.import_module(hook.module)
    if hook.registers:
        return hook in _registered
    wrapper = getattr(_found(hook, module), "_self_wrapper", None)
    return getattr(wrapper, "__module__", None) == __name__


def changed(hooks: Iterable[Hook] = HOOKS) -> list[str]:
    """A sentence for each hook whose function this verl does not have, or has with other parameters."""
    sentences = []
    for hook in hooks:
        try:
            change = _change(hook, importlib.import_module(hook.module))
        except ImportError as error:
            # Without vLLM, on another rollout engine's machine, nothing of vLLM's is hooked into.
            change = None if getattr(error, "name", None) == "vllm" else f"{_where(hook)} is gone: {error}"
        if change:
            sentences.append(change)
    return sentences


def _change(hook: Hook, module: ModuleType) -> str | None:
    try:
        has = inspect.signature(_found(hook, module)).parameters
    except AttributeError as error:
        return f"{_where(hook)} is gone: {error}"
    missing = [name for name in hook.parameters if name not in has]
    return f"{_where(hook)} no longer takes {', '.join(missing)}; it takes {', '.join(has)}" if missing else None


def _where(hook: Hook) -> str:
    return f"verl's {hook.module}.{hook.function} ({hook.purpose})"


def _found(hook: Hook, module: ModuleType) -> Any:
    found: Any = module
    for part in hook.function.split("."):
        found = getattr(_plain(found), part)
    return found


def _plain(found: Any) -> Any:
    """The class underneath a Ray actor class."""
    metadata = getattr(found, "__ray_metadata__", None)
    return found if metadata is None else metadata.modified_class
