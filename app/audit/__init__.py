"""The audit log: who did what, to what, from where, when and with which outcome; hash-chained."""
