"""Analytics: figures about jobs that have ended, and the tables into which they are folded."""
