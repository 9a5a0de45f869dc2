"""Child processes: where handlers and models run, and the parent's handle on them."""
