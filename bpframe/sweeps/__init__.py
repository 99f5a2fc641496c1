"""Sweeps: jobs that differ only in numbers are trained together as lanes of one program."""
