"""From overrides and config files to a checked Experiment."""
