"""What takes the journal away from a client, for `benchmarks.journal`."""
