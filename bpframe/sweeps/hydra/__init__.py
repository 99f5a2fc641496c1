"""The Hydra side of a sweep: composed jobs, their files and logs, and callbacks."""
