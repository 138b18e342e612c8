"""A reward function of your own: right within one per cent of a number, which is what many physics problems need."""

import re

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
TOLERANCE = 0.01


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """verl's arguments. S-GRPO takes an answer for correct where ``acc`` (or else ``score``) is above 0.5.

    ``solution_str`` is the answer alone; with ``algorithm.sgrpo.score=response`` it is the whole response.
    """
    found = NUMBER.findall(solution_str)
    right = bool(found) and abs(float(found[-1]) - float(ground_truth)) <= TOLERANCE * abs(float(ground_truth))
    return {"score": float(right), "acc": right, "numbers": len(found)}
