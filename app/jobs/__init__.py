"""Jobs: what was asked for, where it stands, what came of it."""
