"""The results of a sweep: tables, a page and a picture."""
