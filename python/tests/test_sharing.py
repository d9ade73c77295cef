"""What forks share, what a reset brings back, and what other threads see meanwhile."""

import ast
import gc
import pathlib
import threading
import time

import numpy
import pytest
import tine

MIB = 1 << 20
SHARING = ("auto", "layer")
MODES = (*SHARING, "eager", "lazy")


def proportional_memory():
    """Bytes of this process, pages shared with others divided among them (PSS)."""
    for line in pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError("smaps_rollup tells no Pss")


def available_memory():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def filled(count, dtype="f8"):
    one = tine.array(count, dtype)
    one[:] = numpy.arange(1, count + 1)
    return one


@pytest.mark.parametrize("size", [64 * MIB, 1024 * MIB])
def test_a_hundred_forks_of_a_filled_array_are_little_more_than_one(size):
    if available_memory() < 4 * size:
        pytest.skip(f"four times {size} bytes are not available here")
    gc.collect()
    before = proportional_memory()
    one = tine.array(size // 8, "f8")
    one.fill(1.5)
    forks, times = [one.fork()], []
    for _ in range(99):
        begun = time.perf_counter()
        forks.append(one.fork())
        times.append(time.perf_counter() - begun)
    for number, fork in enumerate(forks):
        fork[number * 1000] = number
        assert fork.usage()["exclusive"] == 4096
    assert (one == 1.5).all()
    # Half of them read throughout.
    assert all(fork[:: 512].sum() > 0 for fork in forks[::2])
    grown = proportional_memory() - before
    assert grown <= size * 1.1, f"{grown / MIB:.0f} MiB for {size / MIB:.0f}"
    # It takes microseconds. The limit leaves room for whatever else this machine does.
    assert sorted(times)[len(times) // 2] < 0.001, sorted(times)[len(times) // 2]


@pytest.mark.parametrize("mode", MODES)
def test_forks_of_each_mode_are_private_in_both_directions(mode):
    one = filled(100_000)
    expected = numpy.array(one)
    two = one.fork(mode)
    two[5], one[6] = -1, -2
    assert (two[5], one[5], two[6], one[6]) == (-1, 6, 7, -2)
    three = two.fork(mode)
    three.settle()
    assert three[5] == -1 and (three[6:] == expected[6:]).all()
    assert (one[7:] == expected[7:]).all()


@pytest.mark.parametrize("mode", ("auto", "layer", "eager"))
def test_a_reset_of_a_fork_goes_back_to_the_fork(mode):
    one = filled(100_000)
    two = one.fork(mode)
    one[:] = 5
    two[:] = 6
    three = two.fork(mode)
    two.reset()
    expected = numpy.arange(1, 100_001) if mode != "layer" else numpy.full(100_000, 6)
    assert (two == expected).all()
    three[10:] = 7
    three.reset()
    assert (three == 6).all()


def test_a_reset_of_an_array_that_was_forked_goes_where_it_would_have_gone():
    one = filled(100_000)
    one.fork()
    one.reset()
    assert not one.any()
    one[:] = 3
    image = one.seal()
    one[:] = 4
    one.fork()
    one.reset()
    assert (one == 3).all() and (image.fork() == 3).all()


def test_an_image_is_forked_again_and_again_and_never_changes():
    one = filled((1 << 20))
    image = one.seal()
    assert (image.shape, image.dtype, image.nbytes) == (one.shape, one.dtype, one.nbytes)
    assert image.stored_bytes() == one.nbytes
    first, second = image.fork(), image.fork()
    first[:] = 0
    one[:] = 0
    assert second[41] == 42 and second.usage()["exclusive"] == 0
    try:
        image.collapse()
    except OSError as error:
        assert "COLLAPSE" in str(error)
    first.reset()
    assert (first == second).all()
    assert repr(image) == "tine.Image(shape=(1048576,), dtype=float64)"


def test_an_unknown_mode_is_refused_by_the_names_of_those_there_are():
    with pytest.raises(ValueError, match="auto, layer, eager or lazy"):
        tine.array(10).fork("slow")


def test_a_fork_after_few_writes_costs_those():
    one = filled(4 << 20)
    forks = [one.fork()]
    for number in range(30):
        one[number * 70_000] = -number
        forks.append(one.fork())
    for number, fork in enumerate(forks[1:]):
        assert fork[number * 70_000] == -number
        assert fork[number * 70_000 + 1] == number * 70_000 + 2
        assert fork.usage()["exclusive"] < MIB
    assert one.usage()["exclusive"] < MIB


def test_views_have_nothing_that_those_of_numpy_have_not():
    one = tine.array((100, 100))
    view = one[3:5, ::2]
    # No Python code runs when a view is made, and no object is held for it.
    assert tine.Array.__array_finalize__ is numpy.ndarray.__array_finalize__
    assert not hasattr(view, "__dict__")
    assert isinstance(view, numpy.ndarray) and view.base is not None
    assert numpy.shares_memory(view, one)
    view[...] = 2
    assert one[3, 4] == 2 and one[3, 5] == 0


def test_other_threads_go_on_while_an_array_is_forked():
    one = tine.array(32 * MIB, "f8")
    one.fill(2)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        spans = []
        for call in (one.fork, one.seal, one.reset):
            one.fill(3)
            begun = time.perf_counter()
            call()
            spans.append((begun, time.perf_counter()))
    finally:
        stop.set()
        thread.join()
    for begun, ended in spans:
        # The first is the thread's tick in progress, which ends when the lock is released.
        assert sum(begun < tick < ended for tick in ticks) > 1, (begun, ended)


def test_no_write_of_another_thread_is_lost_while_an_array_is_forked():
    one = tine.array((1000, 4096), "f8")
    one.fill(1)
    stop, last = threading.Event(), numpy.ones(1000)

    def write():
        number = 1
        while not stop.is_set():
            number += 1
            row = number * 617 % 1000
            one[row] = number  # NumPy releases the interpreter's lock for a row this long.
            last[row] = number

    threads = [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    forks = []
    try:
        for _ in range(30):
            forks.append(one.fork())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (one == last[:, None]).all()
    assert all(fork.shape == one.shape for fork in forks)


def test_a_view_reads_the_same_while_its_array_is_forked():
    one = filled(1 << 20)
    expected, stop, wrong = numpy.array(one), threading.Event(), []

    def read():
        view = one[5:]
        while not stop.is_set():
            if not (view == expected[5:]).all():
                wrong.append(True)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(20):
            one[::1000] = expected[::1000]
            one.fork()
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_the_module_says_what_it_is():
    parts = tine.__version__.split(".")
    assert len(parts) == 3 and all(part.isdigit() for part in parts)
    assert repr(tine.Array) == "<class 'tine.Array'>"
    assert repr(tine.Image) == "<class 'tine.Image'>"
    region = tine.array(4).base
    assert type(region).__module__ == "tine._tine"


def test_the_stubs_name_what_there_is():
    place = pathlib.Path(tine.__file__).parent
    assert (place / "py.typed").is_file()
    for module, stub in ((tine, "__init__.pyi"), (tine._tine, "_tine.pyi")):
        for node in ast.parse((place / stub).read_text()).body:
            if isinstance(node, ast.ClassDef):
                there = getattr(module, node.name)
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                for name in methods:
                    assert hasattr(there, name), f"{node.name}.{name}"
                own = {n for n, each in vars(there).items() if n[0] != "_" and n not in there.__dict__.get("__slots__", ())}
                assert own <= methods, own - methods
            elif isinstance(node, ast.FunctionDef):
                assert callable(getattr(module, node.name))
