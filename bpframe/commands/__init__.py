"""What the words after `bpframe` do."""
