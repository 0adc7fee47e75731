"""Services: one folder for each use that records are put to: purpose, notices, rules, recipient."""
