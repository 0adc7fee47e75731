"""Keys: the tree from the provider's root to the key of a compartment, and who may open what."""
