//! Finding free runs, and taking chunks of the host into use where there are none.

use super::preallocation::Preallocation;
use super::reserve::Purpose;
use super::segment::Segment;
use super::span::Span;
use super::{Space, State, USABLE};
use crate::error::{Error, Result};
use crate::format::block::BlockRun;
use crate::format::layout::{CHUNK_BLOCKS, NODE_BLOCKS, SEGMENTS_MAX, segment_start};

impl Space {
    /// Fills `preallocation` with a free run, of at least `blocks` if there is one. A checkpoint
    /// has no purpose but to use what was promised to it.
    pub(super) fn refill(
        &self,
        state: &mut State,
        preallocation: &mut Preallocation,
        blocks: u64,
        purpose: Option<Purpose>,
    ) -> Result<()> {
        let wanted = match purpose {
            // What is kept for such changes is too little to hold some of it back.
            Some(Purpose::Release) => blocks,
            _ => preallocation.next_size(blocks),
        };
        let floor = purpose.map_or(0, |purpose| state.reserve.floor(purpose));
        let run = match state.find(&*self.device, wanted, true)? {
            Some(run) if state.leaves(run, floor) => Some(run),
            _ => self.open_run(state, wanted)?,
        };
        let run = match run {
            Some(run) => Some(run),
            // Nothing new to be had from the host: the longest free run, what was to go to the
            // host, then single blocks.
            None => loop {
                let longest = state.find(&*self.device, wanted, false)?;
                let part = longest.and_then(|run| state.part_that_leaves(run, floor));
                if part.is_some() {
                    break part;
                }
                if !self.reuse_leaving(state)? {
                    break state.find_single();
                }
            },
        };
        let none = || Error::NoSpace { what: format!("{blocks} blocks of 4 KiB") };
        let run = run.ok_or_else(none)?;
        state.take_busy(&*self.device, run)?;
        preallocation.fill(run);
        Ok(())
    }

    /// Fills `preallocation` with a free run for nodes.
    pub(super) fn refill_nodes(
        &self,
        state: &mut State,
        preallocation: &mut Preallocation,
    ) -> Result<()> {
        let wanted = preallocation.next_size(NODE_BLOCKS);
        let mut found = state.find_pairs(&*self.device, wanted, true)?;
        if found.is_none() {
            // What is opened need not begin at an even place.
            self.open_run(state, wanted)?;
            found = state.find_pairs(&*self.device, wanted, false)?;
        }
        let none = || Error::NoSpace {
            what: "a tree node of 8 KiB: only single blocks of 4 KiB are free".into(),
        };
        let run = found.ok_or_else(none)?;
        state.take_busy(&*self.device, run)?;
        preallocation.fill(run);
        Ok(())
    }

    /// Takes a run of `blocks` in holes into use, in a new segment where there is none; `None` when
    /// the host is full.
    pub(super) fn open_run(&self, state: &mut State, blocks: u64) -> Result<Option<BlockRun>> {
        let opened = self.find_or_grow(state, blocks).and_then(|(index, found)| {
            let span = Span { blocks: found.blocks.min(blocks), ..found };
            self.open_chunks(state, index, span)?;
            Ok(span.in_file(state.segments[index].start))
        });
        match opened {
            Ok(run) => Ok(Some(run)),
            Err(Error::NoSpace { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes one more chunk ready, or the rest of one.
    pub(super) fn ready_chunk(&self, state: &mut State) -> Result<()> {
        let (index, span) = match self.find_or_grow(state, CHUNK_BLOCKS) {
            Err(Error::NoSpace { .. }) if self.reuse_leaving(state)? => return Ok(()),
            Err(Error::NoSpace { what }) => {
                let rest = state.find_hole(&*self.device, 1)?;
                rest.ok_or(Error::NoSpace { what })?
            }
            found => found?,
        };
        match self.open_chunks(state, index, Span { blocks: 1, ..span }) {
            Err(Error::NoSpace { .. }) if self.reuse_leaving(state)? => Ok(()),
            opened => opened,
        }
    }

    /// Takes a chunk back into use that was marked for trim and is still on the host. Returns
    /// `false` if there is none.
    pub(super) fn reuse_leaving(&self, state: &mut State) -> Result<bool> {
        loop {
            let mut segments = state.segments.iter().enumerate();
            let found = segments.find_map(|(index, s)| Some((index, s.first_leaving()?)));
            let Some((index, chunk)) = found else { return Ok(false) };
            match self.open_chunks(state, index, Span::start_of(chunk)) {
                Err(Error::NoSpace { .. }) => state.segments[index].has_left(chunk),
                opened => return opened.map(|()| true),
            }
        }
    }

    /// A segment with a run of `blocks` in holes, or else a new one.
    pub(super) fn find_or_grow(&self, state: &mut State, blocks: u64) -> Result<(usize, Span)> {
        if let Some(found) = state.find_hole(&*self.device, blocks)? {
            return Ok(found);
        }
        self.grow(state)?;
        Ok((state.segments.len() - 1, USABLE))
    }

    /// Takes the chunks of a span into use.
    pub(super) fn open_chunks(&self, state: &mut State, index: usize, span: Span) -> Result<()> {
        let chunks = span.chunks();
        let count = chunks.end() - chunks.start() + 1;
        let whole = Span { at: chunks.start() * CHUNK_BLOCKS, blocks: count * CHUNK_BLOCKS };
        self.reserve_host(whole.in_file(state.segments[index].start))?;
        state.adjust(index, |segment| segment.mark_on_host(chunks));
        Ok(())
    }

    /// Takes those chunks of a span that are holes into use, as far as the host has room: what is
    /// free next to the span may have been given back.
    pub(super) fn take_back(&self, state: &mut State, index: usize, span: Span) -> Result<()> {
        for chunk in span.chunks() {
            if state.segments[index].is_hole(chunk) {
                match self.open_chunks(state, index, Span::start_of(chunk)) {
                    Ok(()) | Err(Error::NoSpace { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn reserve_host(&self, run: BlockRun) -> Result<()> {
        self.device
            .allocate(run.bytes())
            .map_err(|e| Error::io("room in the store's file on the host", e))
    }

    /// Adds a segment at the end of the file.
    pub(super) fn grow(&self, state: &mut State) -> Result<()> {
        let index = state.segments.len() as u64;
        if index >= SEGMENTS_MAX {
            return Err(Error::NoSpace {
                what: "another segment: the store has its largest size".into(),
            });
        }
        let end = segment_start(index + 1).offset();
        let grown = self
            .device
            .len()
            .and_then(|len| if len < end { self.device.set_len(end) } else { Ok(()) });
        grown.map_err(|e| Error::io("growing the store's file", e))?;
        state.segments.push(Segment::fresh(segment_start(index)));
        Ok(())
    }
}
