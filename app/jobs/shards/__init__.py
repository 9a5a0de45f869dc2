"""Shards: one job over many workers. Each shard is a job for a range of the rows of its parent."""
