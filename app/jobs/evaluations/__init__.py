"""What an evaluation writes when it completes."""
