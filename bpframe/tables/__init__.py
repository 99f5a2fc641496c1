"""Examples of one's own: tables and arrays, named, divided and checked."""
