//! Looks up content features in a voice's retrieval index and blends what it finds, as RVC does.

use crate::dsp::dot;
use crate::voice::import::faiss::RetrievalIndex;

/// Neighbours that are blended.
pub const NEIGHBOURS: usize = 8;

/// Squared distances below this count as this: an exact match would otherwise divide by zero.
const CLOSEST: f32 = 1e-9;

/// One neighbour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Squared distance.
    pub distance: f32,
    /// Row in the index.
    pub row: usize,
}

/// The nearest rows of the list around the nearest centroid, nearest first; fewer than [`NEIGHBOURS`] when the list is
/// shorter. The same rows that faiss finds with one probe.
pub fn search(index: &RetrievalIndex, query: &[f32], found: &mut Vec<Neighbour>) {
    found.clear();
    let list = (0..index.starts.len().saturating_sub(1))
        .map(|list| (distance(query, &index.centroids[list * index.dim..][..index.dim]), list))
        .min_by(|one, other| one.0.total_cmp(&other.0));
    let Some((_, list)) = list else { return };
    for row in index.starts[list]..index.starts[list + 1] {
        let distance = distance(query, &index.vectors[row * index.dim..][..index.dim]);
        if found.len() == NEIGHBOURS && found[NEIGHBOURS - 1].distance <= distance {
            continue;
        }
        let place = found.partition_point(|other| other.distance <= distance);
        found.insert(place, Neighbour { distance, row });
        found.truncate(NEIGHBOURS);
    }
}

/// Moves features by `amount` (0 to 1) towards the mean of their neighbours, weighted by the inverse square of the
/// squared distance. Does nothing when fewer than [`NEIGHBOURS`] are found, as RVC does in real time.
pub fn blend(index: &RetrievalIndex, features: &mut [f32], amount: f32, found: &mut Vec<Neighbour>) {
    search(index, features, found);
    if found.len() < NEIGHBOURS {
        return;
    }
    // Relative to the nearest, so that neither very small nor very large distances leave the range of f32.
    let nearest = found[0].distance.max(CLOSEST);
    let weight = |neighbour: &Neighbour| (nearest / neighbour.distance.max(CLOSEST)).powi(2);
    let total: f32 = found.iter().map(weight).sum();
    features.iter_mut().for_each(|value| *value *= 1.0 - amount);
    for neighbour in found.iter() {
        let share = amount * weight(neighbour) / total;
        let row = &index.vectors[neighbour.row * index.dim..][..index.dim];
        features.iter_mut().zip(row).for_each(|(value, part)| *value += share * part);
    }
}

/// Squared distance, without the cancellation that `|a|² - 2 a b + |b|²` has for near vectors.
fn distance(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (ones, others) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    for (a, b) in ones.0.iter().zip(others.0) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest = ones.1.iter().zip(others.1).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    dot(&sums, &[1.0; 8]) + rest
}
