"""``sgrpo show`` on dumps as verl writes them."""

import io
import json

import pytest
from rich.console import Console

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.show import read_groups, show
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END

THOUGHT = "3+5=8\n8+7=15\nWait, check [1] again.\n"


def dump(tmp_path, exit_prompt=EXIT_PROMPT, closing=THINK_END, answer="\n\n\\boxed{{{}}}"):
    def row(uid, output, score, index=None, position=None):
        return {
            "input": "user\n3+5+7=?",
            "output": output,
            "gts": "15",
            "score": score,
            "step": 4,
            "uid": uid,
            "exit_index": index,
            "exit_position": position,
            "thought_length": 20,
            "correct": score > 0,
        }

    rows = [
        row("a_0_2", f"{THOUGHT}{closing}{answer.format(15)}", 0.5),
        row("a_0_0", f"3+5={exit_prompt}{answer.format(3).strip()}", 0.0, 1, 4),
        row("a_0_1", f"3+5=8\n8+7=15\n{exit_prompt}{answer.format(15).strip()}", 1.0, 2, 14),
        row("b_0_0", f"{closing}none\u2028at all", 0.0),  # Unicode's line separator, in the middle of a line of JSON
        {"input": "", "output": "multi-turn", "uid": "c_0_0", "thought_length": None},
    ]
    file = tmp_path / "4.jsonl"
    file.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows))  # as verl writes them
    return file


def printed(file, number, exit_prompt=EXIT_PROMPT, think_end=THINK_END):
    out = io.StringIO()
    show(file, number, exit_prompt, think_end, Console(file=out, width=60))
    return out.getvalue()


@pytest.mark.parametrize(
    ("exit_prompt", "closing"), [(EXIT_PROMPT, THINK_END), (EXIT_PROMPT.replace(THINK_END, ""), THINK_END)]
)
def test_exits_are_marked_in_the_thought_with_their_answers_beside(tmp_path, exit_prompt, closing):
    text = printed(dump(tmp_path, exit_prompt, closing), 1)
    assert "3+5=[1]8\n8+7=15\n[2]Wait, check [1] again." in text
    assert answers(text) == [
        ["[1]", "4 (20%)", "\\boxed{3}", "wrong", "0"],
        ["[2]", "14 (70%)", "\\boxed{15}", "right", "1"],
        ["full", "20", "\\boxed{15}", "right", "0.5"],
    ]


def answers(text):
    """The cells of the table."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_a_phrase_that_opens_the_answer_is_shown_with_it(tmp_path):
    box, exit_prompt = "\\boxed{", "\n\nSo it is \\boxed{"
    text = printed(dump(tmp_path, exit_prompt, box, answer="{}}}."), 1, exit_prompt, box)
    assert "3+5=[1]8\n8+7=15\n[2]Wait" in text
    assert [cells[2] for cells in answers(text)] == ["\\boxed{3}.", "\\boxed{15}.", "\\boxed{15}."]


def test_words_behind_the_tag_are_a_part_of_the_answer(tmp_path):
    closing = f"\n{THINK_END}\n\n**Final Answer** \\boxed{{"
    rows = answers(printed(dump(tmp_path, closing, answer="{}}}"), 1, closing))
    assert [row[2] for row in rows] == ["**Final Answer** \\boxed{3}", "**Final Answer** \\boxed{15}", "15}"]


def test_groups_are_the_prompts_and_rows_of_others_are_left_out(tmp_path):
    groups = read_groups(dump(tmp_path))
    assert [len(rows) for rows in groups.values()] == [3, 1]
    assert "none" in printed(dump(tmp_path), 2)


def test_what_cannot_be_shown(tmp_path):
    file, said = dump(tmp_path), io.StringIO()
    with pytest.raises(UserError, match=r"--group 3: .* has groups 1 to 2"):
        printed(file, 3)
    with pytest.raises(UserError, match="--exit-prompt 'halt</think>'"):
        show(file, 1, "halt</think>", THINK_END, Console(file=said))
    assert said.getvalue() == ""
    with pytest.raises(UserError, match="--think-end '': must be"):
        printed(file, 1, think_end="")
    with pytest.raises(UserError, match="no such file"):
        printed(tmp_path / "none.jsonl", 1)
    (tmp_path / "5.jsonl").write_text('{"uid": "a_0_0"}\n')
    with pytest.raises(UserError, match="holds no serial group"):
        printed(tmp_path / "5.jsonl", 1)


def test_a_dump_that_is_not_whole_says_so(tmp_path):
    file = dump(tmp_path)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[1:]))
    with pytest.raises(UserError, match=r"--group 1: .* lacks its full response"):
        printed(file, 1)
    for line in ('{"uid": "abc", "thought_length": 5}', lines[0].strip().replace("gts", "other")):
        file.write_text(f"{lines[0]}{line}\n")
        with pytest.raises(UserError, match=r"4\.jsonl, line 2: is no row of a step of S-GRPO"):
            printed(file, 1)
    file.write_text(f"{lines[0]}{lines[1][:50]}\n{lines[2]}")
    with pytest.raises(UserError, match=r"4\.jsonl, line 2: is damaged"):
        printed(file, 1)


def test_brackets_in_a_ground_truth_are_shown(tmp_path):
    file = dump(tmp_path)
    file.write_text(file.read_text().replace('"gts": "15"', '"gts": "[/x]"'))
    assert "ground truth [/x]" in printed(file, 1)
