"""Pages for people: sign-in, the citizen's pages, the auditor's list; server-rendered, no script."""
