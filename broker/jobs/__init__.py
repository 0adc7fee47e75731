"""What happens after a commit, and what time brings: duties, expiry, checkpoints, imports."""
