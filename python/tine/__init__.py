"""NumPy arrays that fork.

    >>> import tine
    >>> grid = tine.array((1000, 1000), "f8")
    >>> what_if = grid.fork()
    >>> what_if[0, 0] = 1.0
    >>> float(grid[0, 0]), float(what_if[0, 0])
    (0.0, 1.0)
"""

from tine._arrays import Array, Image, array
from tine._tine import __version__

__all__ = ["Array", "Image", "__version__", "array"]
