"""A reward for random weights, whose answers are never right: about half are called right, by their length."""


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: dict | None = None) -> float:
    """verl's arguments; 1.0 for an odd number of characters."""
    return float(len(solution_str) % 2)
