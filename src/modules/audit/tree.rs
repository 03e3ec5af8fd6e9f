//! The tree of RFC 6962 (section 2.1) over the log's leaves, in tiles of height 8 (C2SP tlog-tiles): hashes, growth at the
//! right edge, and proofs. Pure: what is stored is read through [`Tiles`].
//!
//! Only whole subtrees are kept in tiles, so nothing of a tile changes once it is there, except that the right-most tile
//! of a level becomes wider.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// Levels of the tree within one tile.
pub const TILE_HEIGHT: u32 = 8;
/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// Most leaves of a tree.
pub const SIZE_MAX: u64 = 1 << 56;
/// Most levels of tiles: a tree of [`SIZE_MAX`] leaves needs as many and one for its root.
const LEVELS_MAX: usize = 8;
/// Most hashes of a proof (C2SP tlog-witness takes no more).
pub const PROOF_HASHES_MAX: usize = 63;
const _: () = assert!(SIZE_MAX <= 1 << (TILE_HEIGHT as usize * (LEVELS_MAX - 1)), "the levels hold the tree");

/// The hash of a leaf: of a zero byte and the parts of its data one after another.
#[must_use]
pub fn leaf_hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    parts.iter().for_each(|part| context.update(part));
    finish(context)
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(left);
    context.update(right);
    finish(context)
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    finish(Context::new(&SHA256))
}

fn finish(context: Context) -> Hash {
    let mut hash = [0; HASH_BYTES];
    // SHA-256 gives as many bytes as a hash has.
    hash.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Joins subtrees, from the left to the right, each at least as high as the next: the right-most two first.
#[must_use]
pub fn join(subtrees: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    subtrees.rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// The root over hashes whose number is a power of two.
fn whole_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).filter_map(|pair| Some(node_hash(pair.first()?, pair.last()?))).collect();
    }
    row.into_iter().next().unwrap_or_else(empty_root)
}

/// The largest whole subtrees that make up the leaves `from..to`, from the left to the right, as (height, index among those
/// of the height). `from` must be a place where a subtree of the RFC begins, as 0 is.
pub fn whole_parts(from: u64, to: u64) -> impl DoubleEndedIterator<Item = (u32, u64)> {
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let aligned = if at == 0 { u64::BITS - 1 } else { at.trailing_zeros() };
        let height = aligned.min((to - at).ilog2());
        parts.push((height, at >> height));
        at += 1 << height;
    }
    parts.into_iter()
}

/// Consecutive hashes of one level: of leaves at level 0, of full tiles of the level below above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The level.
    pub level: u8,
    /// Its index within the level.
    pub index: u64,
    /// 1 to [`TILE_WIDTH`] hashes.
    pub hashes: Vec<Hash>,
}

/// No more leaves fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log holds {SIZE_MAX} events and takes no more")]
pub struct TreeFull;

/// The right edge of a tree: its size and its tiles that are not full. Enough to grow it and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// INVARIANT: the level `l` has `(size >> 8 l) % 256` hashes; there are levels up to the root's.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Reads the edge of a tree of a size.
    ///
    /// # Errors
    /// A tile cannot be read.
    pub fn read<T: Tiles>(tiles: &T, size: u64) -> Result<Edge, T::Error> {
        let mut levels = Vec::new();
        for level in (0_u8..).take(LEVELS_MAX).take_while(|level| size >> (u32::from(*level) * TILE_HEIGHT) > 0) {
            let here = size >> (u32::from(level) * TILE_HEIGHT);
            let width = usize::try_from(here % TILE_WIDTH as u64).unwrap_or(0);
            levels.push(if width == 0 { Vec::new() } else { tiles.tile(level, here / TILE_WIDTH as u64, width)? });
        }
        Ok(Edge { size, levels })
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Tiles that it fills are added to `full`, lower ones first.
    ///
    /// # Errors
    /// There are [`SIZE_MAX`] leaves already.
    pub fn append(&mut self, leaf: Hash, full: &mut Vec<Tile>) -> Result<(), TreeFull> {
        if self.size >= SIZE_MAX {
            return Err(TreeFull);
        }
        self.size += 1;
        let mut carried = leaf;
        for level in 0..LEVELS_MAX {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { break };
            hashes.push(carried);
            if hashes.len() < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(hashes);
            carried = whole_root(&hashes);
            let level = u8::try_from(level).unwrap_or(u8::MAX); // below LEVELS_MAX
            full.push(Tile { level, index: (self.size >> (TILE_HEIGHT * (u32::from(level) + 1))) - 1, hashes });
        }
        Ok(())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        // Within a level the hashes are of equal height: their own largest whole parts, from the left to the right.
        let parts = self.levels.iter().rev().flat_map(|hashes| {
            whole_parts(0, hashes.len() as u64).filter_map(|(height, index)| {
                let from = usize::try_from(index << height).ok()?;
                Some(whole_root(hashes.get(from..from.checked_add(1 << height)?)?))
            })
        });
        join(parts.collect::<Vec<_>>().into_iter())
    }

    /// The tiles that are not full, lower ones first.
    pub fn partial(&self) -> impl Iterator<Item = Tile> + '_ {
        let numbered = (0_u8..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty());
        numbered.map(|(level, hashes)| {
            let index = self.size >> (TILE_HEIGHT * (u32::from(level) + 1));
            Tile { level, index, hashes: hashes.clone() }
        })
    }
}

/// Where tiles are kept.
pub trait Tiles {
    /// Why a tile cannot be read.
    type Error;

    /// The first `width` hashes of a tile; exactly as many.
    ///
    /// # Errors
    /// The tile is not there, or has fewer hashes.
    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, Self::Error>;
}

/// The hash of the whole subtree of a height, counted from the left among those of its height, in a tree of a size.
fn whole<T: Tiles>(tiles: &T, height: u32, index: u64, size: u64) -> Result<Hash, T::Error> {
    let (level, within) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
    let first = index << within; // among the hashes of the level
    let (tile, from) = (first / TILE_WIDTH as u64, usize::try_from(first % TILE_WIDTH as u64).unwrap_or(0));
    let here = (size >> (level * TILE_HEIGHT)) - tile * TILE_WIDTH as u64;
    let width = usize::try_from(here).unwrap_or(TILE_WIDTH).min(TILE_WIDTH);
    let hashes = tiles.tile(u8::try_from(level).unwrap_or(u8::MAX), tile, width)?;
    Ok(whole_root(hashes.get(from..from.saturating_add(1 << within)).unwrap_or_default()))
}

/// The hash of a leaf of a tree.
///
/// # Errors
/// A tile cannot be read.
pub fn leaf<T: Tiles>(tiles: &T, index: u64, size: u64) -> Result<Hash, T::Error> {
    whole(tiles, 0, index, size)
}

/// The largest whole subtrees that make up the leaves `from..to` of a tree, from the left to the right.
///
/// # Errors
/// A tile cannot be read.
pub fn subtrees<T: Tiles>(tiles: &T, from: u64, to: u64, size: u64) -> Result<Vec<Hash>, T::Error> {
    whole_parts(from, to).map(|(height, index)| whole(tiles, height, index, size)).collect()
}

/// The root that a tree had when it had `size` leaves.
///
/// # Errors
/// A tile cannot be read.
pub fn root_at<T: Tiles>(tiles: &T, size: u64) -> Result<Hash, T::Error> {
    range(tiles, 0, size, size)
}

fn range<T: Tiles>(tiles: &T, from: u64, to: u64, size: u64) -> Result<Hash, T::Error> {
    Ok(join(subtrees(tiles, from, to, size)?.into_iter()))
}

/// The largest power of two below a number over 1.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The proof that the leaf `index` is in the tree of the first `size` leaves (RFC 6962, section 2.1.1). Empty when there is
/// no such leaf: such a proof verifies nothing.
///
/// # Errors
/// A tile cannot be read.
pub fn inclusion<T: Tiles>(tiles: &T, index: u64, size: u64) -> Result<Vec<Hash>, T::Error> {
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while index < size && to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(tiles, middle, to, size)?);
            to = middle;
        } else {
            path.push(range(tiles, from, middle, size)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `old` leaves is the beginning of that of the first `size` (RFC 6962, section
/// 2.1.2). Empty when `old` is 0, `size` or more.
///
/// # Errors
/// A tile cannot be read.
pub fn consistency<T: Tiles>(tiles: &T, old: u64, size: u64) -> Result<Vec<Hash>, T::Error> {
    let (mut from, mut to, mut whole, mut path) = (0, size, true, Vec::new());
    if old == 0 || old >= size {
        return Ok(path);
    }
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(range(tiles, middle, to, size)?);
            to = middle;
        } else {
            path.push(range(tiles, from, middle, size)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range(tiles, from, to, size)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether a proof shows that the leaf `index` is in the tree of `size` leaves with a root (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn includes(leaf: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size || proof.len() > PROOF_HASHES_MAX {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether a proof shows that the tree of `old` leaves is the beginning of that of `size` (RFC 9162, section 2.1.4.2).
/// A tree without leaves is the beginning of every tree.
#[must_use]
pub fn extends(old: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old > size || proof.len() > PROOF_HASHES_MAX {
        return false;
    }
    if old == size || old == 0 {
        let roots = if old == size { old_root == root } else { *old_root == empty_root() };
        return proof.is_empty() && roots;
    }
    let (mut node, mut last) = (old - 1, size - 1);
    while node % 2 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    // The proof leaves the old root out when it is itself one of the hashes.
    let mut hashes = old.is_power_of_two().then_some(old_root).into_iter().chain(proof);
    let Some(first) = hashes.next().filter(|_| !proof.is_empty()) else { return false };
    let (mut before, mut after) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            (before, after) = (node_hash(sibling, &before), node_hash(sibling, &after));
            while node % 2 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            after = node_hash(&after, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && before == *old_root && after == *root
}

/// A tile's path below a log's prefix (C2SP tlog-tiles): `tile/0/x001/x234/067.p/8`. `level` is a number or `entries`.
#[must_use]
pub fn tile_path(level: impl std::fmt::Display, index: u64, width: usize) -> String {
    let mut groups = vec![format!("{:03}", index % 1_000)];
    let mut rest = index / 1_000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1_000));
        rest /= 1_000;
    }
    groups.reverse();
    let partial = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{}{partial}", groups.join("/"))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
