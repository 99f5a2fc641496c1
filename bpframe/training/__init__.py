"""Training: the experiment, one epoch, and the programs that are compiled of them."""
