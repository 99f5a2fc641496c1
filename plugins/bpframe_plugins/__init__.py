"""The plugins that come with bpframe; each module is a plugin like anyone else's."""
