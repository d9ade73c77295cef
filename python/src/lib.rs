//! The Python face of `tine-memory`: a buffer over a region, which the package `tine` makes NumPy arrays of.
//!
//! Arrays hand their memory to system calls at any time, so forks here are never lazy: no page of a
//! region is ever missing. A region is used only while the interpreter's lock is held, or through a
//! buffer that NumPy holds, whose addresses stay for as long as it does.

use std::ffi::c_int;

use pyo3::exceptions::{PyBufferError, PyMemoryError, PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tine_memory::{Error, ForkMode, Region};

/// Memory that forks. Supports the buffer protocol, writable.
#[pyclass(name = "Region")]
struct PyRegion {
    region: Region,
}

#[pymethods]
impl PyRegion {
    /// `len` bytes of zeros.
    #[new]
    fn new(len: usize) -> PyResult<Self> {
        Ok(Self { region: Region::zeroed(len).map_err(raised)? })
    }

    /// A writable copy; pages written before are copied now, the rest when either side writes them.
    fn fork(&mut self) -> PyResult<Self> {
        self.note_writes();
        Ok(Self { region: self.region.fork_by(ForkMode::Eager).map_err(raised)? })
    }

    /// Goes back to zeros.
    fn reset(&mut self) -> PyResult<()> {
        self.note_writes();
        self.region.reset().map_err(raised)
    }

    /// Bytes by kind.
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let usage = self.region.usage().map_err(raised)?;
        let kinds = PyDict::new(py);
        kinds.set_item("total", usage.total)?;
        kinds.set_item("shared", usage.shared)?;
        kinds.set_item("exclusive", usage.exclusive)?;
        kinds.set_item("dirty", usage.dirty)?;
        kinds.set_item("zero", usage.zero)?;
        kinds.set_item("huge", usage.huge)?;
        Ok(kinds)
    }

    fn __len__(&self) -> usize {
        self.region.len()
    }

    /// Gives the memory to a consumer of buffers.
    ///
    /// # Safety
    /// Called by the interpreter, with a view that it owns.
    // SAFETY: the view is a bare pointer, which only the interpreter can vouch for.
    unsafe fn __getbuffer__(
        mut slf: PyRefMut<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes: &mut [u8] = &mut slf.region;
        let (start, len) = (bytes.as_mut_ptr(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: the view is the interpreter's. The memory lives as long as the object that it keeps
        // a reference to, and neither an eager fork nor a reset moves it.
        let filled =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), len, 0, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl PyRegion {
    /// Whoever holds a buffer may have written since; the region takes every exclusive borrow of its
    /// bytes for a write.
    fn note_writes(&mut self) {
        let _: &mut [u8] = &mut self.region;
    }
}

/// The Python exception for an error.
fn raised(error: Error) -> PyErr {
    match error {
        Error::Reserve { .. } | Error::VmaBudget { .. } => {
            PyMemoryError::new_err(error.to_string())
        }
        Error::Length { .. } | Error::Bounds { .. } => PyValueError::new_err(error.to_string()),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// The module.
#[pymodule]
fn _tine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRegion>()
}
