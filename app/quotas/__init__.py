"""Storage quotas: how many bytes each user stores, and may store."""
