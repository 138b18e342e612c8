"""Every setting of S-GRPO, its checks, and how a verl config is completed in the driver."""
