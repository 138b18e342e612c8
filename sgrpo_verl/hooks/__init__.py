"""Where S-GRPO comes into verl: one table of hooks, installed by the plugin and checked by the driver and doctor."""
