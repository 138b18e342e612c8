"""Phrases with more backslashes than were meant, and LaTeX that has two of them rightly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.settings.escapes import miswritten, shown

PHRASES = [
    "\\boxed{",
    "\n\nThus, the final answer is \\(\\boxed{",
    "\\[\n\\boxed{",
    "\\{",
    "</think>\n\n",
    "Answer: \\text{",
]
LATEX = [
    "a \\\\\nb",
    "a \\\\ b",
    "a \\\\",
    "\\\\[2pt]",
    "\\\\[-0.5em]",
    "\\neq",
    "\\nu =",
    "\\nabla f",
    "\\notin",
    "\\newline",
    "\\noindent\\textbf{Answer:}",
    "\\neg p",
    "\n\tAnswer:",
]


@pytest.mark.parametrize("text", PHRASES + LATEX)
def test_what_is_written_rightly_is_left_alone(text):
    assert miswritten(text) is None


@pytest.mark.parametrize("text", [text for text in PHRASES if "\\" in text])
def test_doubled_backslashes_are_named_with_what_would_be_right(text):
    why = miswritten(text.replace("\\", "\\\\"))
    assert "with two backslashes" in why
    doubled, single = why.removeprefix("holds ").split(" with two backslashes, where ")
    assert doubled == f"\\{single.split(' with one is meant')[0]}"


@pytest.mark.parametrize("text", ["\\n</think>", "Stop.\\n\\n", "\\nThus", "\\nothing"])
def test_a_line_break_in_two_characters_is_named(text):
    assert "a backslash and an n where a line break is meant" in miswritten(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("\boxed{", "b"),
        ("\n\n\boxed{", "b"),
        ("\text{Answer: ", "t"),
        ("\frac{", "f"),
        ("\right", "r"),
        ("\vec", "v"),
        ("\arg", "a"),
    ],
)
def test_a_control_character_that_a_single_backslash_became_is_named(text, meant):
    """As $'…' in bash and double quotes in YAML have it."""
    why = miswritten(text)
    assert f"holds a control character, \\{meant}, where a backslash is meant" in why
    assert "write two backslashes for one" in why


def test_a_phrase_is_shown_as_it_was_read():
    assert shown("\n\\boxed{") == "'\\n\\boxed{'"
    assert shown("\boxed{") == "'\\x08oxed{'"
    assert shown("\text{") == "'\\x09ext{'", "not the phrase that was meant"


@given(st.text(alphabet="ab{}()[]\n .$<>/", max_size=30))
def test_a_text_without_backslashes_is_left_alone(text):
    assert miswritten(text) is None


@pytest.mark.parametrize("option", ["think_start", "think_end", "exit_prompt"])
def test_sgrpo_eval_names_its_option(option):
    texts = {"think_end": "\\boxed{", "exit_prompt": "\\boxed{", option: "\\\\boxed{"}
    with pytest.raises(UserError, match=rf"^--{option.replace('_', '-')} .* holds \\\\boxed with two backslashes"):
        Settings(model="m", data="d", benchmarks=(), **texts)
