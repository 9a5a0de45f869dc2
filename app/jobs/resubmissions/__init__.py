"""The requests of earlier jobs, to be changed and sent again."""
