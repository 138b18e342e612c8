"""A reasoner small enough for a laptop's CPU and taught to overthink, to show S-GRPO at work without a GPU."""
