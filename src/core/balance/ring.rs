//! The ring of consistent hashing: which node a key belongs to, bit for bit as in APISIX.
//!
//! Each node has 160 points on a ring of 2^32 for each unit of its weight, the weights divided by what
//! they share. The points of a node are a chain of checksums: each is that of the node's name and the
//! point before it, four bytes with the lowest first; the first follows a 0. The name is host and port
//! with a NUL between them. A key belongs to the node of the first point that is not before the
//! checksum of the key, around the ring; who cannot be sent there goes to the next point clockwise of
//! somebody who can, so that all other keys stay where they are.
//!
//! APISIX names a node by the address that DNS gives for it; here it is named as it is written, because
//! the runtimes resolve. With nodes written as addresses both agree.

use super::crc32::crc32;
use crate::fault::{At, Report};
use crate::node::Placed;
use crate::rotation::{Weight, gcd};

/// The points of a node for each unit of its weight.
const POINTS: u64 = 160;

/// The most points of a ring: 8 MiB of them. A Worker has 128 MiB for everything.
const POINTS_MAX: u64 = 1 << 20;

/// The points of some nodes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// Where they are and the positions of their nodes; ascending.
    points: Box<[(u32, u32)]>,
}

impl Ring {
    /// Lays out the ring of `nodes`, of which the first is at position `start` of its upstream.
    pub(super) fn compile(
        nodes: &[Placed],
        start: usize,
        at: At<'_>,
        report: &mut Report,
    ) -> Option<Self> {
        let weight = |placed: &Placed| {
            let Weight(weight) = placed.weight;
            u64::from(weight)
        };
        let divisor = nodes.iter().map(weight).fold(0, gcd).max(1);
        let count = POINTS * nodes.iter().map(|placed| weight(placed) / divisor).sum::<u64>();
        if count > POINTS_MAX {
            report.fault(at, format!(
                "consistent hashing would need {count} points, {POINTS} for each unit of weight; at most {POINTS_MAX} are kept: use smaller weights with a common divisor"
            ));
            return None;
        }
        let mut points = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for (index, placed) in (start..).zip(nodes) {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let name = format!("{}\0{}", placed.node.host(), placed.node.port());
            let mut point = 0_u32;
            for _ in 0..POINTS * (weight(placed) / divisor) {
                point = crc32([name.as_bytes(), &point.to_le_bytes()]);
                points.push((point, index));
            }
        }
        points.sort_unstable();
        Some(Self { points: points.into() })
    }

    /// The node that a key belongs to, among those that can be sent to.
    pub(super) fn owner(&self, key: &[u8], is_eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = crc32([key]);
        let first = self.points.partition_point(|(point, _)| *point < hash);
        let (before, behind) = self.points.split_at_checked(first)?;
        // Points of one node often follow each other: each node is asked about once in a row.
        let mut refused = None;
        behind.iter().chain(before).find_map(|(_, index)| {
            let index = usize::try_from(*index).ok().filter(|index| refused != Some(*index))?;
            let found = is_eligible(index).then_some(index);
            refused = Some(index);
            found
        })
    }
}
