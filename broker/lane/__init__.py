"""The hot lane: pulls, in batches of one read and one commit. The only SQL of its own in the project."""
