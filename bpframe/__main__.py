"""`python -m bpframe` is the same program as `bpframe`."""

from bpframe.cli import main

if __name__ == "__main__":
    main()
