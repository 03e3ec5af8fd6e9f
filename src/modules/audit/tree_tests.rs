//! The tree against another implementation (crate ct-merkle), against Go's `sumdb/tlog`, and against changed proofs.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;
use std::collections::BTreeMap;

/// A tree with its tiles in memory, as storage has them.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) edge: Edge,
    pub(crate) tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Kept {
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut full = Vec::new();
        self.edge.append(leaf, &mut full).unwrap();
        for tile in full.into_iter().chain(self.edge.partial()) {
            self.tiles.insert((tile.level, tile.index), tile.hashes);
        }
    }

    fn of(size: u64) -> Kept {
        let mut kept = Kept::default();
        (0..size).for_each(|i| kept.push(leaf_hash(&[data(i).as_bytes()])));
        kept
    }
}

impl Tiles for Kept {
    type Error = String;

    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, String> {
        let tile = self.tiles.get(&(level, index)).and_then(|hashes| hashes.get(..width));
        tile.map(<[Hash]>::to_vec).ok_or_else(|| format!("no {width} hashes in tile {level}/{index}"))
    }
}

fn data(index: u64) -> String {
    format!("leaf {index}")
}

fn oracle(size: u64) -> MemoryBackedTree<Sha256, String> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|i| tree.push(data(i)));
    tree
}

fn digests(proof: &[Hash]) -> Vec<sha2::digest::Output<Sha256>> {
    proof.iter().map(|hash| (*hash).into()).collect()
}

/// Every proof is the other implementation's, and each side takes the other's.
fn same_inclusion(kept: &Kept, tree: &MemoryBackedTree<Sha256, String>, index: u64) {
    let size = kept.edge.size();
    let proof = inclusion(kept, index, size).unwrap();
    let theirs = tree.prove_inclusion(usize::try_from(index).unwrap());
    assert_eq!(proof.concat(), theirs.as_bytes(), "leaf {index} of {size}");
    assert!(includes(&leaf_hash(&[data(index).as_bytes()]), index, size, &kept.edge.root(), &proof));
    let root = RootHash::<Sha256>::new(kept.edge.root().into(), size);
    root.verify_inclusion(&data(index), index, &InclusionProof::from_digests(&digests(&proof))).unwrap();
}

fn same_consistency(kept: &Kept, old: u64, old_root: &Hash, tree: &MemoryBackedTree<Sha256, String>) {
    let size = kept.edge.size();
    let proof = consistency(kept, old, size).unwrap();
    let theirs = tree.prove_consistency(usize::try_from(size - old).unwrap());
    assert_eq!(proof.concat(), theirs.as_bytes(), "{old} of {size}");
    assert!(extends(old, old_root, size, &kept.edge.root(), &proof), "{old} of {size}");
    let (root, before) =
        (RootHash::<Sha256>::new(kept.edge.root().into(), size), RootHash::new((*old_root).into(), old));
    root.verify_consistency(&before, &ConsistencyProof::from_digests(&digests(&proof))).unwrap();
}

#[test]
fn all_small_trees_are_those_of_another_implementation() {
    let (mut kept, mut tree, mut roots) = (Kept::default(), MemoryBackedTree::new(), vec![empty_root()]);
    for size in 1..=300_u64 {
        kept.push(leaf_hash(&[data(size - 1).as_bytes()]));
        tree.push(data(size - 1));
        roots.push(kept.edge.root());
        assert_eq!(kept.edge.root()[..], tree.root().as_bytes()[..], "{size}");
        assert_eq!(Edge::read(&kept, size).unwrap(), kept.edge, "the edge read again is the edge");
        // All leaves and old sizes of small trees and those around a full tile; some of the others.
        let step = if size <= 40 || (254..=260).contains(&size) { 1 } else { 37 };
        (0..size).step_by(step).for_each(|index| same_inclusion(&kept, &tree, index));
        for old in (1..size).step_by(step) {
            same_consistency(&kept, old, &roots[usize::try_from(old).unwrap()], &tree);
            assert_eq!(root_at(&kept, old).unwrap(), roots[usize::try_from(old).unwrap()]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn larger_trees_are_those_of_another_implementation(size in 300_u64..9_000, at in any::<[u64; 6]>()) {
        let (kept, tree) = (Kept::of(size), oracle(size));
        prop_assert_eq!(kept.edge.root().to_vec(), tree.root().as_bytes().to_vec());
        for at in at {
            same_inclusion(&kept, &tree, at % size);
            let old = 1 + at % (size - 1);
            same_consistency(&kept, old, &oracle(old).root().as_bytes()[..].try_into().unwrap(), &tree);
        }
    }

    #[test]
    fn changed_proofs_prove_nothing(size in 2_u64..2_000, at in any::<u64>(), bit in any::<u16>(), cut in any::<bool>()) {
        let kept = Kept::of(size);
        let (index, root) = (at % size, kept.edge.root());
        let leaf = leaf_hash(&[data(index).as_bytes()]);
        let proof = inclusion(&kept, index, size).unwrap();
        prop_assert!(includes(&leaf, index, size, &root, &proof));
        let change = |proof: &[Hash]| {
            let mut changed = proof.to_vec();
            if cut {
                changed.remove(usize::from(bit) % proof.len());
            } else {
                changed[usize::from(bit) % proof.len()][usize::from(bit / 8) % HASH_BYTES] ^= 1 << (bit % 8);
            }
            changed
        };
        prop_assert!(!includes(&leaf, index, size, &root, &change(&proof)));
        prop_assert!(!includes(&leaf, index, size, &root, &[proof.clone(), vec![root]].concat()));
        prop_assert!(!includes(&leaf, (index + 1) % size, size, &root, &proof));
        prop_assert!(!includes(&leaf_hash(&[b"other"]), index, size, &root, &proof));
        let old = 1 + at % (size - 1);
        let (before, proof) = (root_at(&kept, old).unwrap(), consistency(&kept, old, size).unwrap());
        prop_assert!(extends(old, &before, size, &root, &proof));
        prop_assert!(!extends(old, &before, size, &root, &change(&proof)));
        prop_assert!(!extends(old, &root, size, &root, &proof));
        prop_assert!(!extends(old, &before, size, &before, &proof));
        prop_assert!(!extends(old, &before, size, &root, &[proof.clone(), vec![root]].concat()));
    }
}

#[test]
fn goes_log_is_the_same() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../../tests/data/audit/go.json")).unwrap();
    let hash =
        |text: &serde_json::Value| -> Hash { STANDARD.decode(text.as_str().unwrap()).unwrap().try_into().unwrap() };
    let hashes = |list: &serde_json::Value| list.as_array().unwrap().iter().map(hash).collect::<Vec<_>>();
    let kept = Kept::of(70_000);
    for (size, root) in vectors["Roots"].as_object().unwrap() {
        assert_eq!(root_at(&kept, size.parse().unwrap()).unwrap(), hash(root), "{size}");
    }
    let number = |v: &serde_json::Value| v.as_u64().unwrap();
    for proof in vectors["Inclusion"].as_array().unwrap() {
        let ours = inclusion(&kept, number(&proof["Index"]), number(&proof["Size"])).unwrap();
        assert_eq!(ours, hashes(&proof["Proof"]), "{proof}");
    }
    for proof in vectors["Consistency"].as_array().unwrap() {
        let ours = consistency(&kept, number(&proof["Old"]), number(&proof["Size"])).unwrap();
        assert_eq!(ours, hashes(&proof["Proof"]), "{proof}");
    }
    for (tile, path) in vectors["Paths"].as_object().unwrap() {
        let numbers: Vec<u64> = tile.split(' ').map(|n| n.parse().unwrap()).collect();
        // Go's paths say the height, C2SP's do not: it is always 8.
        let theirs = path.as_str().unwrap().replacen("tile/8/", "tile/", 1);
        assert_eq!(tile_path(numbers[0], numbers[1], usize::try_from(numbers[2]).unwrap()), theirs);
    }
    assert_eq!(tile_path("entries", 5, 1), "tile/entries/005.p/1");
}

#[test]
fn tiles_are_those_of_the_specification() {
    // C2SP tlog-tiles: 70,000 leaves are 273 full tiles, one of 112; one full tile of level 1, one of 17; one of level 2.
    let kept = Kept::of(70_000);
    let widths = |level| kept.tiles.iter().filter(move |(at, _)| at.0 == level).map(|(_, hashes)| hashes.len());
    assert_eq!(widths(0).filter(|w| *w == 256).count(), 273);
    assert_eq!(widths(0).filter(|w| *w < 256).collect::<Vec<_>>(), [112]);
    assert_eq!(widths(1).collect::<Vec<_>>(), [256, 17]);
    assert_eq!(widths(2).collect::<Vec<_>>(), [1]);
    assert_eq!(whole_root(&kept.tiles[&(0, 3)]), kept.tiles[&(1, 0)][3], "a full tile's root is in the tile above");
}

#[test]
fn an_empty_tree_has_the_hash_of_nothing() {
    assert_eq!(Edge::default().root(), empty_root());
    assert_eq!(STANDARD.encode(empty_root()), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let one = leaf_hash(&[b"x"]);
    assert!(extends(0, &empty_root(), 1, &one, &[]) && !extends(0, &one, 1, &one, &[]));
    assert!(!includes(&one, 0, 0, &one, &[]) && includes(&one, 0, 1, &one, &[]));
}
