"""Training: the loop, its checks before the first update, checkpoints, averages and reports."""
