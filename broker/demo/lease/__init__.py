"""The demo's contract service, and the story of a lease."""
