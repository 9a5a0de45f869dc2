"""The web page at `/watch`: submit a job and follow it."""
