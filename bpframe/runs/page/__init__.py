"""The page of a run, and the same on the terminal, of its folder alone: neither data nor JAX."""
