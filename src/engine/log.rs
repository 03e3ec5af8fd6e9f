//! The bytes of the log: a header that says which stores and types a revision touches, then its entries.
//!
//! A word (a type, a relation, an id) is written once in a revision and referred to by its place. So entries hold words,
//! which give the same numbers again whenever the log is applied, and yet are short. Lengths and places are varints.

use super::collection::{ChunkRow, space_numbers, space_of};
use super::entry::{Entry, RecordRow};
use crate::storage::Fields;
use crate::tuple::{Object, Subject, Tuple, TupleCondition};
use crate::vector::{Kept, Payload};
use hashbrown::HashMap;

/// The first byte: which encoding follows.
const ENCODING: u8 = 1;

const CREATE: u8 = 0;
const DELETE: u8 = 1;
const MODEL: u8 = 2;
const ASSERTIONS: u8 = 3;
const TUPLES: u8 = 4;
const RECORDS: u8 = 5;
const COLLECTION: u8 = 6;
const DROP_COLLECTION: u8 = 7;
const CHUNKS: u8 = 8;

const OBJECT: u8 = 0;
const USERSET: u8 = 1;
const WILDCARD: u8 = 2;
const KIND_MASK: u8 = 3;
const CONDITIONAL: u8 = 4;

/// Which parts a chunk has.
const TEXT: u8 = 1;
const PAYLOAD: u8 = 2;

/// What one revision does to the tuples of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) store: u32,
    /// The index of the store's last change in the revision.
    pub(crate) last: u32,
    /// The numbers of the object types of its changes.
    pub(crate) types: Vec<u16>,
}

/// What can be told of a revision without reading its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The newest time in it; 0 when no tuples change.
    pub(crate) at: i64,
    pub(crate) touched: Vec<Touched>,
}

/// The value of a revision's row in the log. `None` when a model or a context cannot be written as JSON.
pub(crate) fn encode(header: &Header, entries: &[Entry]) -> Option<Vec<u8>> {
    let mut words = Words::default();
    let mut body = Vec::new();
    varint(&mut body, entries.len());
    for entry in entries {
        words.entry(&mut body, entry)?;
    }
    let text: usize = words.list.iter().map(|w| w.len() + 2).sum();
    let mut out = Vec::with_capacity(body.len() + text + 64);
    out.push(ENCODING);
    out.extend_from_slice(&header.at.to_be_bytes());
    varint(&mut out, header.touched.len());
    for touched in &header.touched {
        out.extend_from_slice(&touched.store.to_be_bytes());
        out.extend_from_slice(&touched.last.to_be_bytes());
        varint(&mut out, touched.types.len());
        for t in &touched.types {
            out.extend_from_slice(&t.to_be_bytes());
        }
    }
    varint(&mut out, words.list.len());
    for word in &words.list {
        bytes(&mut out, word.as_bytes());
    }
    out.extend_from_slice(&body);
    Some(out)
}

/// The header of a row. `None`: damaged.
pub(crate) fn header(value: &[u8]) -> Option<Header> {
    read_header(&mut Reader(Fields(value)))
}

/// The entries of a row. `None`: damaged.
pub(crate) fn decode(value: &[u8]) -> Option<Vec<Entry>> {
    let mut reader = Reader(Fields(value));
    read_header(&mut reader)?;
    let count = reader.count()?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        words.push(std::str::from_utf8(reader.bytes()?).ok()?);
    }
    let count = reader.count()?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(reader.entry(&words)?);
    }
    reader.0.0.is_empty().then_some(entries)
}

fn varint(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let low = u8::try_from(n & 0x7f).unwrap_or(0);
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    varint(out, value.len());
    out.extend_from_slice(value);
}

/// The words of a revision while it is written.
#[derive(Default)]
struct Words<'a> {
    places: HashMap<&'a str, usize>,
    list: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn word(&mut self, out: &mut Vec<u8>, word: &'a str) {
        let list = &mut self.list;
        let place = *self.places.entry(word).or_insert_with(|| {
            list.push(word);
            list.len() - 1
        });
        varint(out, place);
    }

    fn entry(&mut self, out: &mut Vec<u8>, entry: &'a Entry) -> Option<()> {
        match entry {
            Entry::Create { store, id, name, at, listed } => {
                out.push(CREATE);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(&at.to_be_bytes());
                out.push(u8::from(*listed));
                bytes(out, name.as_bytes());
            }
            Entry::Delete { store } => {
                out.push(DELETE);
                out.extend_from_slice(&store.to_be_bytes());
            }
            Entry::Model { store, id, model } => {
                out.push(MODEL);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&id.to_be_bytes());
                bytes(out, &serde_json::to_vec(model).ok()?);
            }
            Entry::Assertions { store, model, body } => {
                out.push(ASSERTIONS);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&model.to_be_bytes());
                bytes(out, body);
            }
            Entry::Tuples { store, at, deletes, writes } => {
                out.push(TUPLES);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&at.to_be_bytes());
                for list in [deletes, writes] {
                    varint(out, list.len());
                    for tuple in list {
                        self.tuple(out, tuple)?;
                    }
                }
            }
            Entry::Records { changes } => {
                out.push(RECORDS);
                varint(out, changes.len());
                for RecordRow(module, key, value) in changes {
                    self.word(out, module);
                    bytes(out, key);
                    out.push(u8::from(value.is_some()));
                    bytes(out, value.as_deref().unwrap_or_default());
                }
            }
            Entry::Collection { .. } | Entry::DropCollection { .. } | Entry::Chunks { .. } => {
                self.of_collection(out, entry);
            }
        }
        Some(())
    }

    fn of_collection(&mut self, out: &mut Vec<u8>, entry: &'a Entry) {
        match entry {
            Entry::Collection { store, collection, name, space, guard, at } => {
                let (dimension, metric, element) = space_numbers(*space);
                out.push(COLLECTION);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&collection.to_be_bytes());
                out.extend_from_slice(&at.to_be_bytes());
                out.extend_from_slice(&dimension.to_be_bytes());
                out.extend_from_slice(&[metric, element]);
                [name, &guard[0], &guard[1]].into_iter().for_each(|text| bytes(out, text.as_bytes()));
            }
            Entry::DropCollection { store, collection } => {
                out.push(DROP_COLLECTION);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&collection.to_be_bytes());
            }
            Entry::Chunks { store, collection, deletes, writes } => {
                out.push(CHUNKS);
                out.extend_from_slice(&store.to_be_bytes());
                out.extend_from_slice(&collection.to_be_bytes());
                varint(out, deletes.len());
                deletes.iter().for_each(|id| bytes(out, id.as_bytes()));
                varint(out, writes.len());
                writes.iter().for_each(|chunk| self.chunk(out, chunk));
            }
            Entry::Create { .. }
            | Entry::Delete { .. }
            | Entry::Model { .. }
            | Entry::Assertions { .. }
            | Entry::Tuples { .. }
            | Entry::Records { .. } => {}
        }
    }

    fn chunk(&mut self, out: &mut Vec<u8>, chunk: &'a ChunkRow) {
        let (text, payload) = (chunk.text.is_some(), chunk.payload.is_some());
        out.push(if text { TEXT } else { 0 } | if payload { PAYLOAD } else { 0 });
        bytes(out, chunk.id.as_bytes());
        self.word(out, &chunk.object);
        bytes(out, chunk.vector.bytes());
        if let Some(text) = &chunk.text {
            bytes(out, text.as_bytes());
        }
        if let Some(payload) = &chunk.payload {
            bytes(out, payload.json().as_bytes());
        }
    }

    fn tuple(&mut self, out: &mut Vec<u8>, tuple: &'a Tuple) -> Option<()> {
        let (kind, object_type, id, relation) = match &tuple.subject {
            Subject::Object(o) => (OBJECT, o.object_type.as_str(), Some(o.id.as_str()), None),
            Subject::Userset { object: o, relation } => {
                (USERSET, o.object_type.as_str(), Some(o.id.as_str()), Some(relation))
            }
            Subject::Wildcard { object_type } => (WILDCARD, object_type.as_str(), None, None),
        };
        out.push(kind | if tuple.condition.is_some() { CONDITIONAL } else { 0 });
        self.word(out, &tuple.object.object_type);
        self.word(out, &tuple.object.id);
        self.word(out, &tuple.relation);
        self.word(out, object_type);
        for word in id.into_iter().chain(relation.map(String::as_str)) {
            self.word(out, word);
        }
        if let Some(condition) = &tuple.condition {
            self.word(out, &condition.name);
            bytes(out, &serde_json::to_vec(&condition.context).ok()?);
        }
        Some(())
    }
}

struct Reader<'a>(Fields<'a>);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<usize> {
        let mut n = 0_usize;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.0.u8()?;
            n |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    /// A number of things that follow, each of a byte at least: so that damage cannot ask for much memory.
    fn count(&mut self) -> Option<usize> {
        self.varint().filter(|n| *n <= self.0.0.len())
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        let (head, tail) = self.0.0.split_at_checked(len)?;
        self.0.0 = tail;
        Some(head)
    }

    fn word(&mut self, words: &[&str]) -> Option<String> {
        let place = self.varint()?;
        words.get(place).map(|w| (*w).to_owned())
    }

    fn i64(&mut self) -> Option<i64> {
        self.0.u64().map(u64::cast_signed)
    }

    fn entry(&mut self, words: &[&str]) -> Option<Entry> {
        Some(match self.0.u8()? {
            CREATE => {
                let (store, id, at) = (self.0.u32()?, self.0.u128()?, self.i64()?);
                let listed = self.0.u8()? == 1;
                Entry::Create { store, id, at, listed, name: self.text()? }
            }
            DELETE => Entry::Delete { store: self.0.u32()? },
            MODEL => {
                let (store, id) = (self.0.u32()?, self.0.u128()?);
                Entry::Model { store, id, model: serde_json::from_slice(self.bytes()?).ok()? }
            }
            ASSERTIONS => {
                let (store, model) = (self.0.u32()?, self.0.u128()?);
                Entry::Assertions { store, model, body: self.bytes()?.to_vec() }
            }
            TUPLES => {
                let (store, at) = (self.0.u32()?, self.i64()?);
                let (deletes, writes) = (self.tuples(words)?, self.tuples(words)?);
                Entry::Tuples { store, at, deletes, writes }
            }
            RECORDS => {
                let count = self.count()?;
                let mut changes = Vec::with_capacity(count);
                for _ in 0..count {
                    let (module, key) = (self.word(words)?, self.bytes()?.to_vec());
                    let (there, value) = (self.0.u8()? == 1, self.bytes()?);
                    changes.push(RecordRow(module, key, there.then(|| value.to_vec())));
                }
                Entry::Records { changes }
            }
            COLLECTION => {
                let (store, collection, at) = (self.0.u32()?, self.0.u32()?, self.i64()?);
                let space = space_of(self.0.u16()?, self.0.u8()?, self.0.u8()?)?;
                let (name, guard) = (self.text()?, [self.text()?, self.text()?]);
                Entry::Collection { store, collection, name, space, guard, at }
            }
            DROP_COLLECTION => Entry::DropCollection { store: self.0.u32()?, collection: self.0.u32()? },
            CHUNKS => {
                let (store, collection) = (self.0.u32()?, self.0.u32()?);
                let deletes = (0..self.count()?).map(|_| self.text()).collect::<Option<_>>()?;
                let writes = (0..self.count()?).map(|_| self.chunk(words)).collect::<Option<_>>()?;
                Entry::Chunks { store, collection, deletes, writes }
            }
            _ => return None,
        })
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn chunk(&mut self, words: &[&str]) -> Option<ChunkRow> {
        let parts = self.0.u8()?;
        let (id, object) = (self.text()?, self.word(words)?);
        let vector = Kept::from_bytes(self.bytes()?.to_vec());
        let text = if parts & TEXT != 0 { Some(self.text()?) } else { None };
        let payload = if parts & PAYLOAD != 0 { Some(Payload::parse(&self.text()?).ok()?) } else { None };
        Some(ChunkRow { id, object, vector, text, payload })
    }

    fn tuples(&mut self, words: &[&str]) -> Option<Vec<Tuple>> {
        let count = self.count()?;
        let mut tuples = Vec::with_capacity(count);
        for _ in 0..count {
            tuples.push(self.tuple(words)?);
        }
        Some(tuples)
    }

    fn tuple(&mut self, words: &[&str]) -> Option<Tuple> {
        let kind = self.0.u8()?;
        let object = Object { object_type: self.word(words)?, id: self.word(words)? };
        let relation = self.word(words)?;
        let object_type = self.word(words)?;
        let subject = match kind & KIND_MASK {
            OBJECT => Subject::Object(Object { object_type, id: self.word(words)? }),
            USERSET => {
                let object = Object { object_type, id: self.word(words)? };
                Subject::Userset { object, relation: self.word(words)? }
            }
            WILDCARD => Subject::Wildcard { object_type },
            _ => return None,
        };
        let mut condition = None;
        if kind & CONDITIONAL != 0 {
            let name = self.word(words)?;
            condition = Some(TupleCondition { name, context: serde_json::from_slice(self.bytes()?).ok()? });
        }
        Some(Tuple { object, relation, subject, condition })
    }
}

fn read_header(reader: &mut Reader<'_>) -> Option<Header> {
    if reader.0.u8()? != ENCODING {
        return None;
    }
    let at = reader.i64()?;
    let count = reader.count()?;
    let mut touched = Vec::with_capacity(count);
    for _ in 0..count {
        let (store, last, types) = (reader.0.u32()?, reader.0.u32()?, reader.count()?);
        let types = (0..types).map(|_| reader.0.u16()).collect::<Option<_>>()?;
        touched.push(Touched { store, last, types });
    }
    Some(Header { at, touched })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::TupleKeyRef;
    use proptest::prelude::*;

    fn tuple(object: u8, subject: u8, condition: u8) -> Tuple {
        let subject = match subject % 3 {
            0 => format!("user:{subject}"),
            1 => format!("group:{subject}#member"),
            _ => "user:*".to_owned(),
        };
        let mut tuple = TupleKeyRef::parse(&format!("document:{object}"), "viewer", &subject).unwrap().to_tuple();
        if condition < 3 {
            let context = serde_json::from_value(serde_json::json!({"n": condition, "ä": [null, "x"]})).unwrap();
            tuple.condition = Some(TupleCondition { name: format!("c{condition}"), context });
        }
        tuple
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            deletes in prop::collection::vec(any::<(u8, u8, u8)>(), 0..20),
            writes in prop::collection::vec(any::<(u8, u8, u8)>(), 0..200),
            record in any::<Option<Vec<u8>>>(),
            at in any::<i64>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let list = |l: Vec<(u8, u8, u8)>| l.into_iter().map(|(o, s, c)| tuple(o, s, c)).collect();
            let model = crate::model::Model::parse_dsl("model\n  schema 1.1\ntype user\n").unwrap();
            let space = space_of(3, 2, 1).unwrap();
            let guard = ["document".to_owned(), "viewer".to_owned()];
            let chunk = |n: u8| ChunkRow {
                id: format!("chunk-{n}"),
                object: format!("{}", n / 2),
                vector: space.keep(&[f32::from(n), 1.0, -2.5]).unwrap(),
                text: n.is_multiple_of(2).then(|| "täxt".to_owned()),
                payload: n.is_multiple_of(3).then(|| Payload::parse("{\"n\":[1,null]}").unwrap()),
            };
            let chunks = (0..12).map(chunk).collect();
            let entries = vec![
                Entry::Create { store: 7, id: u128::MAX, name: "ü".into(), at, listed: true },
                Entry::Model { store: 7, id: 1, model: Box::new(model) },
                Entry::Tuples { store: 7, at, deletes: list(deletes), writes: list(writes) },
                Entry::Records { changes: vec![RecordRow("m".into(), vec![0, 255], record)] },
                Entry::Assertions { store: 7, model: 1, body: vec![1, 2, 3] },
                Entry::Collection { store: 7, collection: 9, name: "c".into(), space, guard, at },
                Entry::Chunks { store: 7, collection: 9, deletes: vec!["gone".into()], writes: chunks },
                Entry::DropCollection { store: 7, collection: 9 },
                Entry::Delete { store: 7 },
            ];
            let wrote = Header { at, touched: vec![Touched { store: 7, last: 3, types: vec![0, 500] }] };
            let bytes = encode(&wrote, &entries).unwrap();
            prop_assert_eq!(header(&bytes), Some(wrote));
            prop_assert_eq!(decode(&bytes), Some(entries));
            // What is cut off is seen; what is changed is not a panic.
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), None);
            let mut flipped = bytes.clone();
            flipped[cut.index(bytes.len())] ^= 0x55;
            let _ = decode(&flipped);
        }
    }
}
