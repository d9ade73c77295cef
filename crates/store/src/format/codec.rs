//! Little-endian reading and writing of variable records, bounded on every step.

/// A record ended early or holds a value out of range; says which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

pub(crate) type Decoded<T> = Result<T, Malformed>;

/// Appends fields to a buffer.
#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    pub fn u128(&mut self, v: u128) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    pub fn raw(&mut self, v: &[u8]) -> &mut Self {
        self.0.extend_from_slice(v);
        self
    }
    /// A length of 16 bits, then the bytes. Callers keep `v` below 64 KiB.
    pub fn short(&mut self, v: &[u8]) -> &mut Self {
        debug_assert!(v.len() <= usize::from(u16::MAX));
        self.u16(v.len() as u16).raw(v)
    }
}

/// Takes fields from a buffer; every step checks that the bytes are there.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn raw(&mut self, n: usize) -> Decoded<&'a [u8]> {
        if n > self.0.len() {
            return Err(Malformed("record ends early"));
        }
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.raw(N)?.try_into().map_err(|_| Malformed("record ends early"))
    }
    pub fn u8(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub fn u16(&mut self) -> Decoded<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }
    pub fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    pub fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    pub fn u128(&mut self) -> Decoded<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }
    /// A counter or a sum: no store reaches 2^56, and what counts on stays far from overflowing.
    pub fn number(&mut self) -> Decoded<u64> {
        Some(self.u64()?).filter(|n| *n < 1 << 56).ok_or(Malformed("a number is impossibly large"))
    }
    /// The address of a block, or a number of blocks: no file has 2^50 blocks.
    pub fn address(&mut self) -> Decoded<u64> {
        Some(self.u64()?)
            .filter(|n| *n < 1 << 50)
            .ok_or(Malformed("an address leads out of any file"))
    }
    pub fn short(&mut self) -> Decoded<&'a [u8]> {
        let n = self.u16()?;
        self.raw(usize::from(n))
    }
    pub fn text(&mut self) -> Decoded<String> {
        String::from_utf8(self.short()?.to_vec()).map_err(|_| Malformed("text is not UTF-8"))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
