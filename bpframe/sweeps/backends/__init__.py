"""Where the chunks of a sweep are trained: hydra.launcher.backend."""
