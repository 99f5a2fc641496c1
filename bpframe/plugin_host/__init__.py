"""The plugin host: the hooks, where plugins are found, and what they offer."""
