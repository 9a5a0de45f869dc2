"""Dead letters: jobs that failed for good, until their owner retries or dismisses them."""
