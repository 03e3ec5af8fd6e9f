//! The index against a plain set of tuples.

use super::*;
use crate::tuple::{Context, Ordinal};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn state() -> (StoreState, ColumnIx) {
    let mut state = StoreState::default();
    let (t, r) = (state.intern_type("t").unwrap(), state.intern_relation("r").unwrap());
    let key = ColumnKey { object_type: t, relation: r, subject_type: t, part: SubjectPart::Object };
    let column = state.intern_column(&key).unwrap();
    (state, column)
}

proptest! {
    #[test]
    fn like_a_set_of_tuples(ops in prop::collection::vec((any::<bool>(), 0..3_u32, 0..2000_u32, 0..3_u8), 1..3000)) {
        let (mut state, column) = state();
        let mut model: BTreeMap<(u32, u32), Option<ClassIx>> = BTreeMap::new();
        let mut old = Vec::new();
        for (i, (insert, object, subject, class)) in ops.into_iter().enumerate() {
            let object = object * 70_000;
            let class = (class > 1).then(|| state.intern_class("c", &Context::new()));
            if insert || subject % 3 == 0 {
                let fresh = !model.contains_key(&(object, subject));
                prop_assert_eq!(state.insert(column, Ordinal(object), Ordinal(subject), class), fresh);
                model.entry((object, subject)).or_insert(class);
            } else {
                let there = model.remove(&(object, subject)).is_some();
                prop_assert_eq!(state.remove(column, Ordinal(object), Ordinal(subject)), there);
            }
            if i % 500 == 0 {
                old.push((state.clone(), model.clone()));
            }
        }
        old.push((state, model));
        for (state, model) in old {
            let mut seen = BTreeMap::new();
            state.column(column).for_each(&mut |o, s, c| { seen.insert((o.0, s.0), c); });
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(state.tuple_count(), model.len() as u64);
            let subjects: BTreeSet<u32> = model.keys().map(|(_, s)| *s).collect();
            for s in subjects {
                let plain: Vec<u32> = model.iter().filter(|((_, t), c)| *t == s && c.is_none()).map(|((o, _), _)| *o).collect();
                let found: Vec<u32> = state.column(column).objects(Ordinal(s)).iter().map(|o| o.0).collect();
                prop_assert_eq!(found, plain);
                let t = state.type_ix("t").unwrap();
                prop_assert!(state.presence(t, Ordinal(s)) & state.column_bit(column) != 0, "{} is named", s);
            }
            let named: u64 = (0..2000).map(|s| u64::from(state.presence(TypeIx(0), Ordinal(s)) != 0)).sum();
            let subjects: BTreeSet<u32> = model.keys().map(|(_, s)| *s).collect();
            prop_assert_eq!(named, subjects.len() as u64, "nobody else is");
            // The same content by another history is the same digest.
            let (mut again, column) = self::state();
            for (&(o, s), &c) in model.iter().rev() {
                let c = c.map(|_| again.intern_class("c", &Context::new()));
                again.insert(column, Ordinal(o), Ordinal(s), c);
            }
            prop_assert_eq!(again.digest(), state.digest());
        }
    }
}

#[test]
fn names_grow_and_old_states_do_not_see_new_ones() {
    let (mut state, _) = state();
    let t = state.type_ix("t").unwrap();
    for i in 0..10_000 {
        assert_eq!(state.intern_name(t, &format!("n{i}")).unwrap(), Ordinal(i));
    }
    let old = state.clone();
    assert_eq!(state.intern_name(t, "new").unwrap(), Ordinal(10_000));
    assert_eq!((old.ordinal(t, "new"), state.ordinal(t, "new")), (None, Some(Ordinal(10_000))));
    for i in 0..10_000 {
        assert_eq!(state.ordinal(t, &format!("n{i}")), Some(Ordinal(i)));
        assert_eq!(state.name(t, Ordinal(i)), Some(format!("n{i}").as_str()));
    }
}
