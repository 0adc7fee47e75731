"""Sources: one file per holder that records come from. They read and return; who calls them stores."""
