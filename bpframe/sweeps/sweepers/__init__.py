"""Which combinations a sweep runs: all of them, or those that a search asks for."""
