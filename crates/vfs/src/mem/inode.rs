//! The content of one file: what is seen, what is synced, and the changes between the two.

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    seen: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => content.resize(index(*len), 0),
            Self::Write { offset, bytes } => {
                let start = index(*offset);
                let end = start + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(start..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// The pieces that reach a disk on their own.
    fn pieces(&self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else { return vec![self.clone()] };
        let mut pieces = Vec::new();
        let (mut offset, mut rest) = (*offset, bytes.as_slice());
        while !rest.is_empty() {
            let room = index(SECTOR - offset % SECTOR).min(rest.len());
            let (piece, after) = rest.split_at(room);
            pieces.push(Self::Write { offset, bytes: piece.to_vec() });
            offset += room as u64;
            rest = after;
        }
        pieces
    }
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let from = self.seen.get(index(offset)..).unwrap_or_default();
        let len = from.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), from.get(..len)) {
            to.copy_from_slice(from);
        }
        len
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if !bytes.is_empty() {
            self.change(Change::Write { offset, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::SetLen(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.synced);
        }
    }

    /// The pages become clean without a promise that they were written.
    pub(super) fn failed_sync(&mut self, mut reached: impl FnMut() -> bool) {
        for piece in std::mem::take(&mut self.pending).iter().flat_map(Change::pieces) {
            if reached() {
                piece.apply(&mut self.synced);
            }
        }
    }

    pub(super) fn crash(&mut self, survives: impl FnMut() -> bool) {
        self.failed_sync(survives);
        self.seen = self.synced.clone();
    }
}

/// Offsets inside memory fit; a larger one behaves like a file that cannot be that long.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
