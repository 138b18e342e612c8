"""Where S-GRPO enters verl: one table of hooks, installed by the plugin and checked by the driver and the doctor."""
