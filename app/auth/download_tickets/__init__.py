"""Tickets for downloads with a browser, whose links cannot carry a token."""
