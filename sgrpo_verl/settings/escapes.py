"""Texts that came with more backslashes than were meant, as they do from a shell, YAML and Hydra."""

import re

_LINE_BREAK = re.compile(  # not \neq, \nu, …
    r"\\n(?!(?:eq?|u|abla|ot(?:in)?|ewline|eg|leq|geq|i|mid|atural|exists|earrow|oindent|ormalsize)(?![A-Za-z]))"
)
# Behind two backslashes: the name of a command, or a bracket. A line break of LaTeX has white space, the end, or its
# height in brackets (\\[2pt]) behind it.
_DOUBLED = re.compile(r"\\\\(?:[A-Za-z]+|[(){}\]]|\[(?!-?[\d.]))")


# What $'…' in bash and double quotes in YAML make of \b, \f, \t, …, where two backslashes were meant. A tab may be
# meant, unless the rest of a command follows it.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f]|\r(?=[A-Za-z])|\t(?=ext|frac|imes|heta|herefore|ag|riangle|bf|(?:an|o|au)(?![A-Za-z]))"
)
_WRITTEN = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\x1b": "\\e"}


def shown(text: str) -> str:
    """A phrase in a message, in quotes: as it was read, but for what cannot be seen. ``repr`` doubles backslashes."""
    marked = re.sub(r"[\x00-\x1f]", lambda one: "\\n" if one[0] == "\n" else f"\\x{ord(one[0]):02x}", text)
    return f"'{marked}'"


def miswritten(text: str) -> str | None:
    r"""What is wrong with a phrase that a model should write, as the end of a sentence; None if nothing is.

    Found are ``\n``, written as two characters; ``\\boxed``, where LaTeX has one backslash; and a backspace before
    ``oxed``, which a single backslash becomes where two are needed.
    """
    if control := _CONTROL.search(text):
        said = _WRITTEN.get(control[0], shown(control[0])[1:-1])
        return (
            f"holds a control character, {said}, where a backslash is meant: between YAML's double quotes and in "
            "bash's $'…', write two backslashes for one; between single quotes, one"
        )
    if doubled := _DOUBLED.search(text):
        said = doubled[0]
        return (
            f"holds {said} with two backslashes, where {said[1:]} with one is meant: one backslash is right between "
            "single quotes, in YAML as in Hydra's overrides, and two between YAML's double quotes or in bash's $'…'"
        )
    if _LINE_BREAK.search(text):
        return "holds a backslash and an n where a line break is meant: $'…' in bash"
    return None
