"""Care in an emergency: what may be opened without asking, to protect a person's life."""
