//! Reading the fields of a message, one after another.

use tine_fs::Ino;

/// The part of a message that is still to be decoded.
pub(crate) struct Fields<'a>(&'a [u8]);

/// Fewer bytes are left than were asked for.
#[derive(Debug)]
pub(crate) struct Short;

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Fields<'a> {
        Fields(message)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub fn u32(&mut self) -> Result<u32, Short> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Short> {
        Ok(u64::from_ne_bytes(self.array()?))
    }

    pub fn ino(&mut self) -> Result<Ino, Short> {
        self.u64().map(Ino::new)
    }

    /// Bytes up to a zero, which is taken too.
    pub fn name(&mut self) -> Result<&'a [u8], Short> {
        let end = self.0.iter().position(|&byte| byte == 0).ok_or(Short)?;
        let name = self.bytes(end)?;
        self.bytes(1)?;
        Ok(name)
    }
}
