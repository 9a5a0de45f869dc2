"""How many bytes each user stores, over everything that is stored, and how many are allowed."""
