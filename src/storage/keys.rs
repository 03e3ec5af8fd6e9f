//! Keys: a byte for the table, then big-endian numbers, so that they sort as the numbers do.

/// The tables. The byte is on disk: never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// Format version, head revision, next store number.
    Meta = b'm',
    /// revision -> entry: every change, in order.
    Log = b'L',
    /// store, revision -> nothing: which entries are a store's. Revision 0: the last change that was trimmed.
    LogByStore = b'l',
    /// store, object type, revision -> nothing: which entries change tuples of that type.
    LogByType = b't',
    /// store -> identity of the store.
    Stores = b's',
    /// store -> how many tuples and names its tables hold, and sums over their rows.
    Sums = b'c',
    /// store, type -> name.
    Types = b'T',
    /// store, relation -> name.
    Relations = b'R',
    /// store, column -> object type, relation, subject type, part.
    Columns = b'C',
    /// store, class -> condition and context.
    Classes = b'K',
    /// store, type, ordinal -> name.
    Names = b'N',
    /// store, object type, object, column, subject -> position, time, class.
    ByObject = b'O',
    /// store, position -> column, object, subject, time, class.
    BySequence = b'S',
    /// store, order of writing -> model.
    Models = b'M',
    /// store, model -> assertions.
    Assertions = b'a',
    /// length and name of a module, its key -> its value.
    Records = b'P',
    /// store, collection -> the entry that made it.
    Collections = b'V',
    /// store, collection -> how many chunks its rows hold, and the sum over them.
    ChunkSums = b'u',
    /// store, collection, chunk -> revision, owner, prints of text and payload, id, vector.
    Chunks = b'v',
    /// store, collection, chunk -> payload.
    Payloads = b'p',
    /// store, collection, chunk -> revision, text.
    Texts = b'x',
    /// store, collection, piece -> the bytes of the graph.
    Graphs = b'g',
}

/// A key under construction.
#[derive(Clone, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// Starts a key of a table.
    #[must_use]
    pub fn of(table: Table) -> Key {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(table as u8);
        Key(bytes)
    }

    /// Appends two bytes.
    #[must_use]
    pub fn u16(mut self, n: u16) -> Key {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    /// Appends four bytes.
    #[must_use]
    pub fn u32(mut self, n: u32) -> Key {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    /// Appends eight bytes.
    #[must_use]
    pub fn u64(mut self, n: u64) -> Key {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    /// Appends sixteen bytes (a ULID).
    #[must_use]
    pub fn u128(mut self, n: u128) -> Key {
        self.0.extend_from_slice(&n.to_be_bytes());
        self
    }

    /// Appends a text of at most 255 bytes with its length before it, so that no text is the beginning of another.
    #[must_use]
    pub fn text_with_len(mut self, text: &str) -> Key {
        let text = text.as_bytes();
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        self.0.push(len);
        self.0.extend_from_slice(text.get(..usize::from(len)).unwrap_or(text));
        self
    }

    /// Appends bytes; they end the key.
    #[must_use]
    pub fn tail(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The smallest key behind all that start with this one.
    #[must_use]
    pub fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        vec![u8::MAX; 64]
    }
}

/// Reads the numbers of a key or a value, front to back. `None` when there are too few bytes: the data is damaged.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    /// What is left, as text.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_and_end() {
        let a = Key::of(Table::Log).u64(255);
        let b = Key::of(Table::Log).u64(256);
        assert!(a.bytes() < b.bytes());
        assert!(b.bytes() < Key::of(Table::Log).end().as_slice());
        assert_eq!(Key::of(Table::Log).u16(0xffff).end(), vec![Table::Log as u8 + 1]);
        let mut fields = Fields(b.bytes());
        assert_eq!((fields.u8(), fields.u64(), fields.u8()), (Some(b'L'), Some(256), None));
    }
}
