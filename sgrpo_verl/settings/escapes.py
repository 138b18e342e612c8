"""Texts that came with more backslashes than were meant, as they do from a shell, YAML and Hydra."""

import re

_LINE_BREAK = re.compile(r"\\n(?!(?:eq?|u|abla|ot(?:in)?|ewline)(?![A-Za-z]))")  # not \neq, \nu, …
# Behind two backslashes: the name of a command, or a bracket. A line break of LaTeX has white space, the end, or its
# height in brackets (\\[2pt]) behind it.
_DOUBLED = re.compile(r"\\\\(?:[A-Za-z]+|[(){}\]]|\[(?!-?[\d.]))")


def miswritten(text: str) -> str | None:
    r"""What is wrong with a phrase that a model should write, as the end of a sentence; None if nothing is.

    Found are ``\n``, written as two characters, and ``\\boxed``, where LaTeX has one backslash.
    """
    if doubled := _DOUBLED.search(text):
        said = doubled[0]
        return (
            f"holds {said} with two backslashes, where {said[1:]} with one is meant: one backslash is right between "
            "single quotes, in YAML as in Hydra's overrides, and two between YAML's double quotes or in bash's $'…'"
        )
    if _LINE_BREAK.search(text):
        return "holds a backslash and an n where a line break is meant: $'…' in bash"
    return None
