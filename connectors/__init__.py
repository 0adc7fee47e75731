"""The outside: holders that records come from, services that they go to."""
