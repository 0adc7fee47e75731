"""Data at rest: keys, sealed records, record types, and the base of every table."""
