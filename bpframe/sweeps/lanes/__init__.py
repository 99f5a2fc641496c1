"""Runs of one structure, trained together as lanes of one compiled program."""
