"""What Python programs call: experiments, runs, saved runs, sweeps."""
