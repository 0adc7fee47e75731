"""Lending: what a bank may ask to decide on a loan, its derivations, its rules, and a reference bank."""
