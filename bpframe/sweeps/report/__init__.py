"""What a sweep tells of its runs: tables, a page and a picture."""
