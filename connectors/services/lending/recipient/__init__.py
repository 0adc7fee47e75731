"""The reference bank: a small server of its own that lends by its published rules."""
