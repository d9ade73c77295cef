"""Arrays over regions of memory, and images of arrays."""

import math
import operator
import sys

import numpy

from tine._tine import Region, Wrap


class Array(numpy.ndarray):
    """An array over a region of memory. Views of it share the region. Copies are plain memory."""

    # No attributes and no hooks: NumPy makes views alone, as fast as those of its own arrays.
    __slots__ = ()
    __module__ = "tine"

    def fork(self, mode="auto"):
        """Makes a writable copy, which shares with this array what neither side writes from now on.

        auto: seals what was written since the last fork, once, and shares it. Pages are copied when
            either side writes them.
        layer: does the same, and a reset of this array also comes back to this moment.
        eager: copies what was written now, unshared.
        lazy: copies nothing yet. Either side copies a page on its first touch. Until `settle`,
            system calls that are given such a page fail with EFAULT. A reset of the copy goes where
            a reset of this array would.
        """
        return _over(self._region().fork(mode), self.dtype, self.shape)

    def seal(self):
        """Makes an image of what the array holds. A reset of the array now goes back to it."""
        return Image(self._region().seal(), self.dtype, self.shape)

    def reset(self):
        """Goes back to where the array was forked or last sealed, or else to zeros.

        This changes every view of the region. A read-only array is left as it is.
        """
        region = self._region()
        if not self.flags.writeable:
            raise ValueError("this array is read-only: reset one that may be written")
        region.reset()

    def settle(self):
        """Fills the pages that a lazy fork left unfilled, so that system calls can use them."""
        self._region().settle()

    def usage(self):
        """Bytes of the region by kind: total, shared, exclusive, dirty, zero, huge, pending."""
        return self._region().usage()

    def _region(self):
        owner = self.base
        while isinstance(owner, numpy.ndarray):
            owner = owner.base
        if not isinstance(owner, Region):
            raise TypeError("this array has plain memory of its own; only one made by tine.array forks")
        if self.nbytes != len(owner) or not self.flags.c_contiguous:
            raise TypeError("this is a part or a rearrangement of an array; use the whole one")
        return owner


# NumPy makes scalars of single values only for its own arrays. This is not written in Python, since
# each operation calls it.
Array.__array_wrap__ = Wrap(Array)


class Image:
    """The content of an array when it was sealed. It never changes. Its forks share it."""

    __slots__ = ("_memory", "dtype", "shape")
    __module__ = "tine"

    def __init__(self, memory, dtype, shape):
        self._memory = memory
        self.dtype = dtype
        self.shape = shape

    def fork(self):
        """Makes a writable array that begins as the image. A reset of it goes back to the image."""
        return _over(self._memory.fork(), self.dtype, self.shape)

    def collapse(self):
        """Makes huge pages of the image, so that forks read it faster. Writes still copy 4 KiB."""
        self._memory.collapse()

    @property
    def nbytes(self):
        """Bytes of an array of the image."""
        return len(self._memory)

    def stored_bytes(self):
        """Bytes of memory that the image holds. Pages shared with other images count in full."""
        return self._memory.stored_bytes()

    def __repr__(self):
        return f"tine.Image(shape={self.shape}, dtype={self.dtype})"


def array(shape, dtype=float):
    """Makes an array of zeros, which take memory only when they are written.

    Assign to it to fill it from another: `forks = tine.array(a.shape, a.dtype); forks[...] = a`.
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


array.__module__ = "tine"


def _lengths(shape):
    try:
        shape = (operator.index(shape),)
    except TypeError:
        shape = tuple(operator.index(length) for length in shape)
    if any(length < 0 for length in shape):
        raise ValueError(f"a length is negative: {shape}")
    return shape


def _over(region, dtype, shape):
    return Array(shape, dtype, buffer=region)
