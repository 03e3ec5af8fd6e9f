//! A persistent map from ordinals to values: a radix tree of 64-way nodes, copied on write where a snapshot shares them,
//! changed in place where none does.

use crate::tuple::Ordinal;
use std::sync::Arc;

const BITS: u32 = 6;
const DIGIT_MASK: u32 = (1 << BITS) - 1;

/// See the file's head. A clone costs one reference.
#[derive(Clone, Debug)]
pub(super) struct Radix<T> {
    root: Option<Arc<Node<T>>>,
    /// Levels above the leaves.
    height: u32,
    len: usize,
}

#[derive(Clone, Debug)]
enum Node<T> {
    /// The values whose bits are set in the mask, in the order of the bits.
    Leaf(u64, Vec<T>),
    /// The children whose bits are set in the mask, likewise. Never empty.
    Inner(u64, Vec<Arc<Node<T>>>),
}

impl<T> Default for Radix<T> {
    fn default() -> Self {
        Radix { root: None, height: 0, len: 0 }
    }
}

fn digit(ordinal: u32, level: u32) -> u32 {
    (ordinal >> (BITS * level)) & DIGIT_MASK
}

/// Where the value of a digit is, and whether it is there.
fn rank(mask: u64, digit: u32) -> (usize, bool) {
    let below = mask & ((1_u64 << digit) - 1);
    (below.count_ones() as usize, mask >> digit & 1 == 1)
}

impl<T: Clone> Radix<T> {
    fn covers(&self, ordinal: u32) -> bool {
        BITS * (self.height + 1) >= u32::BITS || ordinal >> (BITS * (self.height + 1)) == 0
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value of an ordinal.
    pub(super) fn get(&self, ordinal: Ordinal) -> Option<&T> {
        if !self.covers(ordinal.0) {
            return None;
        }
        let mut node = self.root.as_deref()?;
        let mut level = self.height;
        loop {
            match node {
                Node::Leaf(mask, values) => {
                    let (at, there) = rank(*mask, digit(ordinal.0, 0));
                    return if there { values.get(at) } else { None };
                }
                Node::Inner(mask, children) => {
                    let (at, there) = rank(*mask, digit(ordinal.0, level));
                    if !there {
                        return None;
                    }
                    node = children.get(at)?;
                    level = level.saturating_sub(1);
                }
            }
        }
    }

    /// A tree of values whose ordinals ascend. The same tree as by adding them one after the other.
    pub(super) fn from_ascending(values: impl IntoIterator<Item = (Ordinal, T)>) -> Self {
        let mut leaves: Vec<(u32, Arc<Node<T>>)> = Vec::new();
        let (mut at, mut mask, mut list, mut len) = (0, 0_u64, Vec::new(), 0);
        for (ordinal, value) in values {
            if ordinal.0 >> BITS != at && !list.is_empty() {
                leaves.push((at, Arc::new(Node::Leaf(mask, exact(&mut list)))));
                mask = 0;
            }
            at = ordinal.0 >> BITS;
            mask |= 1 << digit(ordinal.0, 0);
            list.push(value);
            len += 1;
        }
        if list.is_empty() {
            return Radix::default();
        }
        leaves.push((at, Arc::new(Node::Leaf(mask, exact(&mut list)))));
        let mut height = 0;
        while leaves.len() > 1 || leaves.first().is_some_and(|(at, _)| *at > 0) {
            leaves = parents(leaves);
            height += 1;
        }
        Radix { root: leaves.pop().map(|(_, root)| root), height, len }
    }

    /// Changes the value of an ordinal: `change` gets it (or the default) and says whether it stays.
    pub(super) fn update<R>(&mut self, ordinal: Ordinal, change: impl FnOnce(&mut T) -> (R, bool)) -> R
    where
        T: Default,
    {
        while !self.covers(ordinal.0) {
            if let Some(root) = self.root.take() {
                self.root = Some(Arc::new(Node::Inner(1, vec![root])));
            }
            self.height += 1;
        }
        let height = self.height;
        let root = self.root.get_or_insert_with(|| Arc::new(empty(height)));
        let mut count = 0_isize;
        let result = update(Arc::make_mut(root), height, ordinal.0, change, &mut count);
        self.len = self.len.saturating_add_signed(count);
        if self.len == 0 {
            (self.root, self.height) = (None, 0);
        }
        self.shrink();
        result
    }

    /// Keeps the tree as low as its content allows, so that its shape does not depend on its history.
    fn shrink(&mut self) {
        while self.height > 0 {
            let only = match self.root.as_deref() {
                Some(Node::Inner(1, children)) => children.first().cloned(),
                Some(Node::Inner(..) | Node::Leaf(..)) | None => None,
            };
            let Some(child) = only else { return };
            (self.root, self.height) = (Some(child), self.height - 1);
        }
    }

    /// All values, in the order of their ordinals.
    pub(super) fn for_each(&self, visit: &mut dyn FnMut(Ordinal, &T)) {
        if let Some(root) = &self.root {
            each(root, 0, self.height, visit);
        }
    }

    /// Bytes of the nodes, without what values own.
    pub(super) fn bytes(&self) -> usize {
        self.root.as_ref().map_or(0, |root| bytes(root))
    }
}

fn empty<T>(level: u32) -> Node<T> {
    if level == 0 { Node::Leaf(0, Vec::new()) } else { Node::Inner(0, Vec::new()) }
}

/// Takes the list in as many bytes as it needs.
fn exact<T>(list: &mut Vec<T>) -> Vec<T> {
    let mut own = Vec::with_capacity(list.len());
    own.append(list);
    own
}

fn parents<T>(nodes: Vec<(u32, Arc<Node<T>>)>) -> Vec<(u32, Arc<Node<T>>)> {
    let mut parents = Vec::new();
    let (mut above, mut mask, mut children) = (0, 0_u64, Vec::new());
    for (at, node) in nodes {
        if at >> BITS != above && !children.is_empty() {
            parents.push((above, Arc::new(Node::Inner(mask, exact(&mut children)))));
            mask = 0;
        }
        above = at >> BITS;
        mask |= 1 << (at & DIGIT_MASK);
        children.push(node);
    }
    parents.push((above, Arc::new(Node::Inner(mask, exact(&mut children)))));
    parents
}

fn update<T: Clone + Default, R>(
    node: &mut Node<T>,
    level: u32,
    ordinal: u32,
    change: impl FnOnce(&mut T) -> (R, bool),
    count: &mut isize,
) -> R {
    match node {
        Node::Leaf(mask, values) => {
            let digit = digit(ordinal, 0);
            let (at, there) = rank(*mask, digit);
            if let (true, Some(value)) = (there, values.get_mut(at)) {
                let (result, stays) = change(value);
                if !stays {
                    values.remove(at);
                    *mask &= !(1 << digit);
                    *count -= 1;
                }
                return result;
            }
            let mut value = T::default();
            let (result, stays) = change(&mut value);
            if stays {
                values.reserve_exact(usize::from(values.capacity() == values.len()) * (1 + values.len() / 4));
                values.insert(at, value);
                *mask |= 1 << digit;
                *count += 1;
            }
            result
        }
        Node::Inner(mask, children) => {
            let digit = digit(ordinal, level);
            let (at, there) = rank(*mask, digit);
            if !there {
                children.insert(at, Arc::new(empty(level - 1)));
                *mask |= 1 << digit;
            }
            let mut hollow = false;
            let result = if let Some(child) = children.get_mut(at) {
                let child = Arc::make_mut(child);
                let result = update(child, level - 1, ordinal, change, count);
                hollow = matches!(child, Node::Leaf(0, _) | Node::Inner(0, _));
                result
            } else {
                change(&mut T::default()).0
            };
            if hollow {
                children.remove(at);
                *mask &= !(1 << digit);
            }
            result
        }
    }
}

fn each<T>(node: &Node<T>, base: u32, level: u32, visit: &mut dyn FnMut(Ordinal, &T)) {
    let digits = |mask: u64| (0..u64::BITS).filter(move |d| mask >> d & 1 == 1);
    match node {
        Node::Leaf(mask, values) => digits(*mask).zip(values).for_each(|(d, v)| visit(Ordinal(base | d), v)),
        Node::Inner(mask, children) => {
            for (d, child) in digits(*mask).zip(children) {
                each(child, base | d << (BITS * level), level - 1, visit);
            }
        }
    }
}

fn bytes<T>(node: &Node<T>) -> usize {
    let own = size_of::<Node<T>>() + 16;
    match node {
        Node::Leaf(_, values) => own + values.capacity() * size_of::<T>(),
        Node::Inner(_, children) => own + children.capacity() * 8 + children.iter().map(|c| bytes(c)).sum::<usize>(),
    }
}
