"""The keeper: the background loops that keep the system tidy, in every API process and every worker."""
