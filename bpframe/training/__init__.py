"""Training: the experiment, one epoch, and the compiled programs."""
