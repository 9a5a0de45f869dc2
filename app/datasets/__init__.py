"""Files of rows that users bring: streamed up, typed, kept, and read by range."""
