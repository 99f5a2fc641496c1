"""The algorithm of an experiment in words and formulas, equation by equation."""
