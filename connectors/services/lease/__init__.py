"""Leases and sales of homes: what each of the people in a contract may be asked, and its derivations."""
