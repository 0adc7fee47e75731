"""The reference recipient: a small insurer, as a process of its own with its own keys and store."""
