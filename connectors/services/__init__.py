"""Services: one folder for each use that records are put to, with its purpose, notices, rules and recipient."""
