"""What all pages share: a document that needs no network, its theme, and how it draws."""
