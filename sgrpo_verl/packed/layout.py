"""Packs rows that share a beginning into one sequence: the whole last row, then only what differs in each other row.

For a serial group that is the full response, then each early exit from its cut on:

    prompt  thought ………………………  answer │ (cut 1) exit prompt, answer │ (cut 2) exit prompt, answer │ …

A token sees its own segment up to itself, and the part of the last row that its row begins with. It keeps the position
that it has in its row. So a model gives it exactly the log-prob that it would have in its row.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Packing:
    """Rows packed group by group; all tensors are int64 on the rows' device."""

    input_ids: torch.Tensor  # (groups, packed length), jagged
    position_ids: torch.Tensor  # (groups, packed length), jagged; each token's position in its row
    visible: torch.Tensor  # (1, 1, packed tokens, 3): prefix start, prefix end, own segment's start; see attention.py
    source: torch.Tensor  # (tokens of the rows,): where each of them is among the packed tokens
    segments: torch.Tensor  # (segments, 4), on the CPU: start, end, prefix start, prefix end; see flex.py

    def to_rows(self, values: torch.Tensor, row_offsets: torch.Tensor) -> torch.Tensor:
        """The model's values for all packed tokens, (packed tokens,), as (rows, row length) jagged."""
        return torch.nested.nested_tensor_from_jagged(values[self.source], row_offsets)


def groups_of(prompts: torch.Tensor) -> list[list[int]]:
    """Runs of rows with the same prompt, (rows, prompt length) jagged: the groups that are worth packing."""
    groups: list[list[int]] = []
    previous = None
    for index, prompt in enumerate(prompts.cpu().unbind()):
        if previous is not None and torch.equal(prompt, previous):
            groups[-1].append(index)
        else:
            groups.append([index])
        previous = prompt
    return groups


def packed_length(rows: list[torch.Tensor]) -> int:
    """Tokens of one group's rows once packed."""
    *others, last = rows
    return len(last) + sum(len(row) - _branch_start(row, last) for row in others)


def pack(input_ids: torch.Tensor, groups: list[list[int]], multiple: int = 1) -> Packing:
    """Pack rows of tokens, (rows, row length) jagged, where each group is put together and groups stay apart.

    The whole is padded to a ``multiple`` of tokens, if that is more than 1, and to two of them at least, with a segment
    of zeros that no row is read from: torch would compile a kernel of its own for the length of one block.
    """
    rows = input_ids.cpu().unbind()
    packed_ids, packed_positions, visible, lengths, segments = [], [], [], [], []
    source: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    begin = 0  # of the group, among all packed tokens
    for group in groups:
        last = rows[group[-1]]
        end = begin
        for index in (group[-1], *group[:-1]):
            row = rows[index]
            cut = 0 if index == group[-1] else _branch_start(row, last)
            own = torch.arange(end, end + len(row) - cut)
            packed_ids.append(row[cut:])
            packed_positions.append(torch.arange(cut, len(row)))
            visible.append(torch.tensor([begin, begin + cut, end]).expand(len(own), 3))
            source[index] = torch.cat([torch.arange(begin, begin + cut), own])
            segments.append([end, end + len(own), begin, begin + cut])
            end += len(own)
        lengths.append(end - begin)
        begin = end
    if padding := max(-begin % multiple, 2 * multiple - begin if multiple > 1 else 0):
        packed_ids.append(torch.zeros(padding, dtype=torch.int64))
        packed_positions.append(torch.arange(padding))
        visible.append(torch.full((padding, 3), begin))
        segments.append([begin, begin + padding, begin, begin])
        lengths[-1] += padding
    offsets = torch.tensor([0, *lengths]).cumsum(0).to(input_ids.device)

    def on_device(tensors: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(tensors).to(input_ids.device)

    return Packing(
        torch.nested.nested_tensor_from_jagged(on_device(packed_ids), offsets),
        torch.nested.nested_tensor_from_jagged(on_device(packed_positions), offsets),
        on_device(visible)[None, None],
        on_device(source),
        torch.tensor(segments),
    )


def _branch_start(row: torch.Tensor, last: torch.Tensor) -> int:
    """Where a row departs from the last row, minus one token.

    The last token that both have is repeated, because in the row it predicts another token than in the last row.
    """
    length = min(len(row), len(last))
    differs = (row[:length] != last[:length]).nonzero()
    shared = int(differs[0]) if len(differs) else length
    return max(shared - 1, 0)
