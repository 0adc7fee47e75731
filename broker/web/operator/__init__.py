"""The operator's pages: what needs somebody, and the self-check; which command acts on it. Read-only."""
