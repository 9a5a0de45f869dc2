"""Groups: jobs that were asked for together, watched and cancelled together."""
