"""Groups: jobs that were created by one request, and are monitored and cancelled together."""
