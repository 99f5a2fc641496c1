"""bpframe: backpropagation in the open. The public names stand in `__init__.pyi`.

They are loaded at first use, so that `bpframe --version` does not wait for jax.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
