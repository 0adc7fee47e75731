"""Accounts, passwords, sessions and the guards of pages."""
