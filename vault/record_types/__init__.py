"""Record types as data: one JSON file each, read and applied by `catalogue`."""
