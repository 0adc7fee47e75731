"""What was agreed, and the proof of it."""
