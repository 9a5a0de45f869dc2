"""What does the work; the only home of ML libraries."""
