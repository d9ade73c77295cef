"""What a user sees of arrays that fork."""

import concurrent.futures
import os
import pickle
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


def test_shapes_and_types_are_those_of_numpy():
    for shape in (5, numpy.int64(5), (5,), [2, 3], (), (2, 1, 3)):
        one = tine.array(shape, "i2")
        assert one.shape == numpy.zeros(shape).shape and one.fork().shape == one.shape
    for dtype in ("M8[s]", "U3", "?", [("a", "i4"), ("b", "f8")], numpy.dtype(("f8", (2, 3)))):
        one = tine.array(4, dtype)
        assert one.shape == numpy.zeros(4, dtype).shape
        assert one.fork().dtype == one.dtype


def test_what_cannot_be_had_is_an_error_that_says_why():
    for kind in (object, [("a", "i4"), ("b", object)]):
        with pytest.raises(TypeError, match="objects"):
            tine.array(3, kind)
    for shape in (0, (4, 0)):
        with pytest.raises(ValueError, match="at least one byte"):
            tine.array(shape)
    for shape in (-1, (-3, -4), (5, -1)):
        with pytest.raises(ValueError, match="negative"):
            tine.array(shape)
    for shape in (1.5, "ab", None, (2.5, 2)):
        with pytest.raises(TypeError):
            tine.array(shape)
    for count in (1 << 58, 1 << 60, 1 << 70):
        with pytest.raises(MemoryError):
            tine.array(count, "f8")


def test_a_view_keeps_the_memory_and_a_whole_one_forks():
    one = tine.array((10, 100))
    one[...] = numpy.arange(1000).reshape(10, 100)
    flat = one.reshape(1000)
    del one
    fork = flat.fork()
    flat[0] = -1
    assert fork.shape == (1000,) and (fork == numpy.arange(1000)).all()


def test_a_read_only_array_is_not_reset():
    one = tine.array(1000)
    one[:] = 3
    part = one.view()
    part.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        part.reset()
    assert (one == 3).all() and part.fork().flags.writeable
    one.reset()
    assert not part.any()


def test_single_values_are_those_of_numpy():
    one = tine.array((3, 4), "i4")
    one[...] = 2
    for value in (one.sum(), one.max(), one[1, 2], one.mean(), numpy.sqrt(tine.array(()))):
        assert isinstance(value, numpy.generic), type(value)
    whole = tine.array((), "i8")
    assert numpy.add(whole, 5, out=whole) is whole and whole.fork() == 5


def test_a_pickled_array_comes_back_as_plain_memory():
    one = tine.array(100)
    one[3] = 4
    back = pickle.loads(pickle.dumps(one))
    assert (back == one).all()
    with pytest.raises(TypeError, match="plain memory"):
        back.fork()


def test_threads_fork_and_write_at_once():
    one = tine.array(1 << 20)
    one[:] = 1

    def work(number):
        for _ in range(20):
            fork = one.fork()
            fork[:] = number
            assert (fork == number).all()
            fork.reset()
            assert (fork == 1).all()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert (one == 1).all()


def test_a_child_process_forks_what_it_inherits():
    one = tine.array(100_000)
    one[:] = 3
    child = os.fork()
    if child == 0:
        fork = one.fork()
        fork[0] = 9
        os._exit(0 if one[0] == 3 and fork[0] == 9 and fork[99_999] == 3 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (one == 3).all() and (one.fork() == 3).all()
