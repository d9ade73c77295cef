"""What a person sees of arrays that fork."""

import os
import tempfile

import numpy
import pytest
import tine


def test_a_fork_is_private_in_both_directions():
    one = tine.array((100, 1000), "f8")
    one[3] = 7
    two = one.fork()
    two[3, 0], one[4, 0] = 1, 2
    assert (one[3, 0], two[3, 0], two[3, 1], two[4, 0]) == (7, 1, 7, 0)
    three = two.fork()
    three += 1
    assert (two[3, 0], three[3, 0]) == (1, 2)


def test_reset_goes_back_to_zeros_for_every_view():
    one = tine.array(100_000, "i4")
    part = one[10:20]
    one[:] = 5
    one.reset()
    assert not one.any() and not part.any()


def test_usage_counts_what_was_written():
    one = tine.array(1 << 27, "f8")  # A gibibyte.
    one[0] = one[-1] = 1
    usage = one.usage()
    assert usage["total"] == 1 << 30
    assert usage["exclusive"] == 2 * 4096


def test_tofile_writes_a_fork_whole():
    one = tine.array(300_000, "u1")
    one[::5000] = 9
    fork = one.fork()
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "array")
        fork.tofile(path)
        assert (numpy.fromfile(path, "u1") == one).all()


def test_results_and_copies_are_plain_memory():
    one = tine.array(1000)
    for plain in (one + 1, one.copy()):
        with pytest.raises(TypeError):
            plain.fork()
    square = tine.array((10, 20))
    for part in (one[3:5], square.T):
        with pytest.raises(TypeError):
            part.fork()


def test_an_array_outlives_the_one_it_was_forked_from():
    one = tine.array(10_000, "i8")
    one[:] = numpy.arange(10_000)
    fork = one.fork()
    del one
    assert (fork == numpy.arange(10_000)).all()


def test_what_cannot_be_had_is_an_error():
    with pytest.raises(TypeError):
        tine.array(3, object)
    with pytest.raises(ValueError):
        tine.array(0)
    with pytest.raises(MemoryError):
        tine.array(1 << 58, "f8")
