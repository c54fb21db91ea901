//! Indexes of byte strings, many of them in one piece of memory.
//!
//! Each is a radix tree. One walk down the bytes of a key finds what the key means exactly and all that
//! its prefixes mean, so that a look-up costs as much as the key is long, whatever the number of keys.
//! Children stand side by side and are told apart by one list of bytes: a step down reads two or three
//! cache lines.

use std::collections::VecDeque;
use std::ops::Range;

/// What a key means exactly and what it means as a prefix.
#[derive(Debug)]
pub(super) struct Both<T> {
    pub(super) exact: Option<T>,
    pub(super) prefix: Option<T>,
}

impl<T> Default for Both<T> {
    fn default() -> Self {
        Self { exact: None, prefix: None }
    }
}

impl<T: Default> Both<T> {
    /// The meaning as a prefix, or the exact one.
    pub(super) fn slot(&mut self, is_prefix: bool) -> &mut T {
        let slot = if is_prefix { &mut self.prefix } else { &mut self.exact };
        slot.get_or_insert_default()
    }
}

/// One of the indexes, by the node at its top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root(u32);

/// Many indexes.
#[derive(Debug)]
pub(super) struct Forest<T> {
    nodes: Vec<Node<T>>,
    /// The byte that leads to each node from its parent.
    firsts: Vec<u8>,
    labels: Vec<u8>,
}

#[derive(Debug)]
struct Node<T> {
    /// Where the bytes stand that lead here behind the first one.
    label: (u32, u32),
    children: (u32, u32),
    exact: Option<T>,
    prefix: Option<T>,
    /// The next node above that means something as a prefix.
    outer: Option<u32>,
}

/// Keys that are still to become nodes below one.
struct Grove {
    node: u32,
    keys: Range<usize>,
    /// How many bytes of the keys are behind.
    depth: usize,
    outer: Option<u32>,
}

impl<T> Default for Forest<T> {
    fn default() -> Self {
        Self { nodes: Vec::new(), firsts: Vec::new(), labels: Vec::new() }
    }
}

impl<T: Copy> Forest<T> {
    /// Adds an index. The keys are in order, each of them there once.
    pub(super) fn plant(&mut self, keys: &[(Box<[u8]>, Both<T>)]) -> Root {
        let root = self.push(0);
        let mut groves = VecDeque::new();
        groves.push_back(Grove { node: root, keys: 0..keys.len(), depth: 0, outer: None });
        while let Some(grove) = groves.pop_front() {
            self.grow(grove, keys, &mut groves);
        }
        Root(root)
    }

    /// Gives back what is held for more of them.
    pub(super) fn close(&mut self) {
        self.nodes.shrink_to_fit();
        self.firsts.shrink_to_fit();
        self.labels.shrink_to_fit();
    }

    /// Gives a node its label, its meaning and its children, which are left to grow.
    fn grow(&mut self, grove: Grove, keys: &[(Box<[u8]>, Both<T>)], groves: &mut VecDeque<Grove>) {
        let Grove { node, keys: Range { mut start, end }, depth, outer } = grove;
        let of_grove = keys.get(start..end).unwrap_or_default();
        let ([(first, meaning), ..], [.., (last, _)]) = (of_grove, of_grove) else { return };
        // They are sorted: what the first and the last begin with, all do.
        let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let label = first.get(depth..common).unwrap_or_default();
        let label_start = small(self.labels.len());
        self.labels.extend_from_slice(label);
        let ends_here = first.len() == common;
        let meaning = if ends_here { (meaning.exact, meaning.prefix) } else { (None, None) };
        let inner = if meaning.1.is_some() { Some(node) } else { outer };
        start += usize::from(ends_here);
        let children_start = small(self.nodes.len());
        let of_children = keys.get(start..end).unwrap_or_default();
        for group in of_children.chunk_by(|(a, _), (b, _)| a.get(common) == b.get(common)) {
            let byte = group.first().and_then(|(key, _)| key.get(common)).copied();
            let child = self.push(byte.unwrap_or_default());
            let keys = start..start + group.len();
            start = keys.end;
            groves.push_back(Grove { node: child, keys, depth: common + 1, outer: inner });
        }
        let children = (children_start, small(self.nodes.len()));
        let label = (label_start, small(self.labels.len()));
        if let Some(place) = self.nodes.get_mut(node as usize) {
            *place = Node { label, children, exact: meaning.0, prefix: meaning.1, outer };
        }
    }

    fn push(&mut self, first: u8) -> u32 {
        let number = small(self.nodes.len());
        let (label, children) = ((0, 0), (0, 0));
        self.nodes.push(Node { label, children, exact: None, prefix: None, outer: None });
        self.firsts.push(first);
        number
    }

    /// All that a key means in an index: exactly, then as what its longest prefix begins, down to the
    /// shortest.
    pub(super) fn get(&self, root: Root, key: &[u8]) -> impl Iterator<Item = T> {
        let (exact, nearest) = self.walk(root, key);
        let nearest = nearest.and_then(|at| self.nodes.get(at as usize));
        let outer = |node: &&Node<T>| self.nodes.get(node.outer? as usize);
        let prefixes = std::iter::successors(nearest, outer);
        exact.into_iter().chain(prefixes.filter_map(|node| node.prefix))
    }

    /// What a key means exactly, and the node of its longest prefix that means something.
    fn walk(&self, Root(mut at): Root, mut rest: &[u8]) -> (Option<T>, Option<u32>) {
        let mut nearest = None;
        while let Some(node) = self.nodes.get(at as usize) {
            let label = self.labels.get(node.label.0 as usize..node.label.1 as usize);
            let Some(behind) = label.and_then(|label| rest.strip_prefix(label)) else { break };
            if node.prefix.is_some() {
                nearest = Some(at);
            }
            let Some((first, behind)) = behind.split_first() else {
                return (node.exact, nearest);
            };
            let firsts = self.firsts.get(node.children.0 as usize..node.children.1 as usize);
            let Some(Ok(child)) = firsts.map(|firsts| firsts.binary_search(first)) else { break };
            (at, rest) = (node.children.0 + small(child), behind);
        }
        (None, nearest)
    }
}

/// A count of things that are held in memory. Hosts and paths multiply: hosts with the same routes share
/// their paths, and a route has a limit, so that a document runs out of memory before it has 2^32.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).expect("2^32 things of an index are more than there is memory for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn all_over(alphabet: &[u8], length_max: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut begun = 0;
        for _ in 0..length_max {
            let end = all.len();
            for at in begun..end {
                for byte in alphabet {
                    all.push([&all[at][..], &[*byte]].concat());
                }
            }
            begun = end;
        }
        all
    }

    /// Every set of some keys, each exact, a prefix or both, agrees with a plain scan on every key.
    #[test]
    fn a_walk_finds_what_a_scan_finds() {
        let keys: [&[u8]; 6] = [b"", b"a", b"ab", b"abb", b"ba", b"bab"];
        let asked = all_over(b"abc", 4);
        for choice in 0..4_u32.pow(6) {
            let kind = |index: usize| (choice >> (2 * index)) & 3;
            let mut map: BTreeMap<Box<[u8]>, Both<usize>> = BTreeMap::new();
            for (index, key) in keys.iter().enumerate().filter(|(index, _)| kind(*index) > 0) {
                let exact = (kind(index) & 1 > 0).then_some(index);
                let prefix = (kind(index) & 2 > 0).then_some(index + 10);
                map.insert((*key).into(), Both { exact, prefix });
            }
            let mut forest = Forest::default();
            forest.plant(&[(b"a"[..].into(), Both { exact: Some(99), prefix: Some(99) })]);
            let root = forest.plant(&map.into_iter().collect::<Vec<_>>());
            for asked in &asked {
                let exact = keys.iter().enumerate().filter(|(_, key)| ***key == **asked);
                let exact = exact.filter(|(index, _)| kind(*index) & 1 > 0).map(|(index, _)| index);
                let mut prefixes: Vec<usize> = (0..keys.len())
                    .filter(|index| kind(*index) & 2 > 0 && asked.starts_with(keys[*index]))
                    .collect();
                prefixes.sort_by_key(|index| std::cmp::Reverse(keys[*index].len()));
                let scan: Vec<usize> =
                    exact.chain(prefixes.into_iter().map(|index| index + 10)).collect();
                assert_eq!(forest.get(root, asked).collect::<Vec<_>>(), scan, "{choice} {asked:?}");
            }
        }
    }
}
