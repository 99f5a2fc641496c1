"""The network while it learns: what a recording holds of it, cut to what can be drawn."""
