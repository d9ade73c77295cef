//! The Python binding of `tine-memory`: buffers over regions, of which the package `tine` makes
//! NumPy arrays.
//!
//! NumPy and system calls use the memory of an array at any time, through addresses that they took
//! long before. So a region here never moves and is shared in place, and its writes are found in
//! the page tables, never by borrows. Every call that may take long releases the interpreter's
//! lock, and holds the region's lock instead.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard};

use pyo3::exceptions::{PyBufferError, PyMemoryError, PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use tine_memory::{Error, ForkMode, Image, Region, Result};

/// Memory that forks. Supports the buffer protocol, writable.
#[pyclass(name = "Region", module = "tine._tine", frozen)]
struct PyRegion {
    region: Mutex<Region>,
    /// Where the region starts, which never changes.
    start: usize,
    len: usize,
}

/// Memory that is sealed and shared, and never changes.
#[pyclass(name = "Memory", module = "tine._tine", frozen)]
struct PyImage {
    image: Image,
}

#[pymethods]
impl PyRegion {
    /// Makes memory of `len` bytes of zeros.
    #[new]
    fn new(py: Python<'_>, len: usize) -> PyResult<Self> {
        py.detach(|| Region::zeroed(len).map(Self::over)).map_err(raised)
    }

    /// Makes a writable copy by `mode`: "auto", "layer", "eager" or "lazy".
    fn fork(&self, py: Python<'_>, mode: &str) -> PyResult<Self> {
        let fork: fn(&mut Region) -> Result<Region> = match mode {
            "auto" => fork_shared,
            "layer" => |region| region.seal_in_place()?.fork(),
            "eager" => fork_eagerly,
            "lazy" => |region| {
                note_writes(region);
                region.fork_by(ForkMode::Lazy)
            },
            other => {
                return Err(PyValueError::new_err(format!(
                    "there is no fork mode {other:?}: it is auto, layer, eager or lazy"
                )));
            }
        };
        if mode == "lazy" {
            // With the interpreter's lock held: it takes microseconds, during which no other thread
            // may touch the memory.
            return fork(&mut self.locked()).map(Self::over).map_err(raised);
        }
        py.detach(|| fork(&mut self.locked()).map(Self::over)).map_err(raised)
    }

    /// Makes an image of what the memory holds. A reset goes back to it from now on.
    fn seal(&self, py: Python<'_>) -> PyResult<PyImage> {
        let image = py.detach(|| self.locked().seal_in_place()).map_err(raised)?;
        Ok(PyImage { image })
    }

    /// Goes back to where the memory was forked or last sealed, or to zeros.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let mut region = self.locked();
            note_writes(&mut region);
            region.reset()
        })
        .map_err(raised)
    }

    /// Fills the pages that a lazy fork left to be filled on their first touch.
    fn settle(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.locked().settle()).map_err(raised)
    }

    /// Bytes by kind.
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let usage = py.detach(|| self.locked().usage()).map_err(raised)?;
        let kinds = PyDict::new(py);
        kinds.set_item("total", usage.total)?;
        kinds.set_item("shared", usage.shared)?;
        kinds.set_item("exclusive", usage.exclusive)?;
        kinds.set_item("dirty", usage.dirty)?;
        kinds.set_item("zero", usage.zero)?;
        kinds.set_item("huge", usage.huge)?;
        kinds.set_item("pending", usage.pending)?;
        Ok(kinds)
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// Exports the memory as a buffer.
    ///
    /// # Safety
    /// Called by the interpreter, with a view that it owns.
    // SAFETY: the view is a raw pointer, which only the interpreter can vouch for.
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let (start, len) = (slf.start as *mut std::ffi::c_void, slf.len as ffi::Py_ssize_t);
        // SAFETY: the interpreter owns the view. The memory lives as long as the object to which
        // the view holds a reference, and no call here moves the region.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 0, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl PyRegion {
    fn over(region: Region) -> Self {
        let (start, len) = (region.as_ptr() as usize, region.len());
        Self { region: Mutex::new(region), start, len }
    }

    /// The region, poisoned or not: an operation that panicked left it as it was, or as it was to
    /// make it.
    fn locked(&self) -> MutexGuard<'_, Region> {
        self.region.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[pymethods]
impl PyImage {
    /// Makes writable memory that begins as the image.
    fn fork(&self, py: Python<'_>) -> PyResult<PyRegion> {
        py.detach(|| self.image.fork().map(PyRegion::over)).map_err(raised)
    }

    /// Makes huge pages of the image's memory.
    fn collapse(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.image.collapse()).map_err(raised)
    }

    /// Bytes of memory that the image's pieces hold.
    fn stored_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.image.stored_bytes()).map_err(raised)
    }

    fn __len__(&self) -> usize {
        self.image.len()
    }
}

/// NumPy calls this with each result of an operation on arrays (`__array_wrap__`). Single values
/// become scalars, and others become arrays of the class for which this was made, as NumPy does for
/// its own classes.
#[pyclass(name = "Wrap", module = "tine._tine", frozen)]
struct Wrap {
    class: Py<PyType>,
}

#[pymethods]
impl Wrap {
    #[new]
    fn new(class: Py<PyType>) -> Self {
        Self { class }
    }

    /// Converts a result. NumPy 1 does not tell if it may be a scalar.
    #[pyo3(signature = (result, context=None, return_scalar=false))]
    fn __call__<'py>(
        &self,
        result: Bound<'py, PyAny>,
        context: Option<Bound<'py, PyAny>>,
        return_scalar: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, _) = (result.py(), (context, return_scalar));
        let class = self.class.bind(py);
        if result.get_type().is(class) {
            return Ok(result); // Where the caller has it already.
        }
        if result.getattr(intern!(py, "ndim"))?.extract::<usize>()? == 0 {
            return result.get_item(PyTuple::empty(py));
        }
        result.call_method1(intern!(py, "view"), (class,))
    }
}

/// Shares what the region holds, and forks it. While I/O may reach its pages past the page tables,
/// they are copied.
fn fork_shared(region: &mut Region) -> Result<Region> {
    match region.share() {
        Ok(image) => image.fork(),
        Err(Error::Pinned) => fork_eagerly(region),
        Err(error) => Err(error),
    }
}

/// Copies what was written, now. The copy is sealed, so that a reset of it comes back to this
/// moment.
fn fork_eagerly(region: &mut Region) -> Result<Region> {
    note_writes(region);
    let mut fork = region.fork_by(ForkMode::Eager)?;
    fork.seal_in_place()?;
    Ok(fork)
}

/// Marks the region as written: any holder of a buffer may have written since. The region takes
/// every exclusive borrow of its bytes for a write.
fn note_writes(region: &mut Region) {
    let _: &mut [u8] = region;
}

/// The Python exception for an error.
fn raised(error: Error) -> PyErr {
    match error {
        Error::Reserve { .. } | Error::VmaBudget { .. } | Error::NoMemory => {
            PyMemoryError::new_err(error.to_string())
        }
        Error::Length { .. } | Error::Bounds { .. } => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// The module.
#[pymodule]
fn _tine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<PyImage>()?;
    module.add_class::<Wrap>()?;
    module.add_class::<PyRegion>()
}
