"""What the studies of Nielsen's book share: sweeps read, rows judged, results written."""
