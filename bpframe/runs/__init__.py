"""One run: its loop, its records, its folder, and who is told of it."""
