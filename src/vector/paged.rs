//! A persistent vector: a clone costs one pointer, and a change copies only the leaf it touches when a clone still holds it.
//!
//! Two levels of pages under a root: four billion items need a root of 65,536 pointers, a million a root of 16.

use std::sync::Arc;

/// Items of a leaf, and leaves of a page.
pub(crate) const FAN: usize = 256;

type Leaf<T> = Arc<Vec<T>>;

/// A growing sequence of `T`.
// INVARIANT: every leaf but the last has FAN items, every page but the last FAN leaves; `len` counts the items.
#[derive(Clone, Debug)]
pub(crate) struct Paged<T> {
    root: Arc<Vec<Arc<Vec<Leaf<T>>>>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { root: Arc::default(), len: 0 }
    }
}

impl<T: Clone> Paged<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The leaf that holds item `index`, empty beyond the end.
    #[inline]
    pub(crate) fn leaf(&self, index: usize) -> &[T] {
        let leaf = index / FAN;
        self.root.get(leaf / FAN).and_then(|page| page.get(leaf % FAN)).map_or(&[], |leaf| leaf.as_slice())
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.leaf(index).get(index % FAN)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.root.iter().flat_map(|page| page.iter()).flat_map(|leaf| leaf.iter())
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let leaf = index / FAN;
        let page = Arc::make_mut(Arc::make_mut(&mut self.root).get_mut(leaf / FAN)?);
        Arc::make_mut(page.get_mut(leaf % FAN)?).get_mut(index % FAN)
    }

    pub(crate) fn push(&mut self, item: T) {
        let leaf = self.len / FAN;
        let root = Arc::make_mut(&mut self.root);
        if leaf / FAN == root.len() {
            root.push(Arc::default());
        }
        let Some(page) = root.last_mut().map(Arc::make_mut) else { return };
        if leaf % FAN == page.len() {
            page.push(Arc::default());
        }
        let Some(leaf) = page.last_mut().map(Arc::make_mut) else { return };
        leaf.push(item);
        self.len += 1;
    }

    /// Puts `item` at `index`, growing with `fill` up to it.
    pub(crate) fn set(&mut self, index: usize, item: T, fill: &T) {
        while self.len <= index {
            self.push(fill.clone());
        }
        if let Some(place) = self.get_mut(index) {
            *place = item;
        }
    }

    /// Bytes of the items.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }
}

impl<T: Clone> FromIterator<T> for Paged<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut paged = Self::default();
        items.into_iter().for_each(|item| paged.push(item));
        paged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut paged: Paged<u32> = (0..200_000).collect();
        let before = paged.clone();
        paged.set(70_000, 1, &0);
        paged.set(200_010, 2, &9);
        assert_eq!((before.get(70_000), before.len()), (Some(&70_000), 200_000));
        assert_eq!((paged.get(70_000), paged.get(200_005), paged.get(200_010)), (Some(&1), Some(&9), Some(&2)));
        assert_eq!((paged.get(200_011), paged.len()), (None, 200_011));
        assert_eq!(before.iter().map(|x| u64::from(*x)).sum::<u64>(), 19_999_900_000);
    }
}
