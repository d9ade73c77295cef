"""NumPy arrays that fork.

    >>> import tine
    >>> grid = tine.array((1000, 1000), "f8")
    >>> what_if = grid.fork()
    >>> what_if[0, 0] = 1.0
    >>> float(grid[0, 0]), float(what_if[0, 0])
    (0.0, 1.0)
"""

import math
import operator
import sys

import numpy

from tine._tine import Region

__all__ = ["Array", "array"]


class Array(numpy.ndarray):
    """An array over a region of memory. Views of it share the region; copies are plain memory."""

    region = None

    def __array_finalize__(self, other):
        # A view of an array knows its region; a result that has memory of its own has none.
        if isinstance(other, Array) and numpy.may_share_memory(self, other):
            self.region = other.region

    def __array_wrap__(self, result, context=None, return_scalar=False):
        # NumPy makes scalars of single values for its own arrays alone, and NumPy 1 tells nobody which they are.
        wrapped = super().__array_wrap__(result, context)
        return wrapped if wrapped is self or wrapped.shape else wrapped[()]

    def fork(self):
        """A writable copy: pages are copied when either side writes them."""
        return _over(self._owner().fork(), self.dtype, self.shape)

    def reset(self):
        """Goes back to zeros, for every view of the region. A read-only array is left as it is."""
        region = self._owner()
        if not self.flags.writeable:
            raise ValueError("this array is read-only: reset one that may be written")
        region.reset()

    def usage(self):
        """Bytes of the whole region by kind: total, shared, exclusive, dirty, zero, huge."""
        return self._owner().usage()

    def _owner(self):
        if self.region is None:
            raise TypeError("this array has plain memory of its own; only one made by tine.array forks")
        if self.nbytes != len(self.region) or not self.flags.c_contiguous:
            raise TypeError("this is a part or a rearrangement of an array; use the whole one")
        return self.region


def array(shape, dtype=float):
    """A new array of zeros, which take memory only when they are written.

    What there is already goes in by assignment: `forks = tine.array(a.shape, a.dtype); forks[...] = a`.
    """
    dtype = numpy.dtype(dtype)
    if dtype.hasobject:
        raise TypeError("objects cannot be kept in memory that forks")
    shape = _lengths(shape)
    size = math.prod(shape) * dtype.itemsize
    if size == 0:
        raise ValueError(f"memory that forks has at least one byte; {shape} of {dtype} has none")
    if size > sys.maxsize:
        raise MemoryError(f"{shape} of {dtype} exceeds the address space")
    return _over(Region(size), dtype, shape)


def _lengths(shape):
    try:
        shape = (operator.index(shape),)
    except TypeError:
        shape = tuple(operator.index(length) for length in shape)
    if any(length < 0 for length in shape):
        raise ValueError(f"a length is negative: {shape}")
    return shape


def _over(region, dtype, shape):
    over = Array(shape, dtype, buffer=region)
    over.region = region
    return over
