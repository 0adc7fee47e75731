"""Measurements of the broker against baselines of the same run on the same machine. See README.md."""
