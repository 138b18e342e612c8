"""A reward function for random weights: half of all answers are right, and the same answer always is or is not."""

import zlib


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return float(zlib.crc32(solution_str.encode()) % 2)
