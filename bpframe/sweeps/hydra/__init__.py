"""What a sweep has of Hydra: composed jobs, their files and logs, callbacks."""
