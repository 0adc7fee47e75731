"""The demo's bank, and the story of a loan."""
