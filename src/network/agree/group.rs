//! The largest group in which each two agree: the maximum cliques of a small graph, by Bron and Kerbosch's algorithm with
//! pivots (Communications of the ACM 16, 1973; Tomita et al. 2006), and which of them counts.

use std::cmp::Reverse;

/// A set of places below 32.
type Set = u32;

/// The largest set of places below `count` in which each two are among `agreeing`: of several, the one with the highest
/// `alike`, then the one with the smallest places. In ascending order; empty only where `count` is 0.
pub(super) fn largest(
    count: usize,
    agreeing: impl Iterator<Item = (usize, usize)>,
    alike: impl Fn(&[usize]) -> usize,
) -> Vec<usize> {
    let mut near = vec![0; count];
    for (a, b) in agreeing {
        near[a] |= 1 << b;
        near[b] |= 1 << a;
    }
    let mut search = Search { near: &near, alike: &alike, best: None };
    search.extend(0, (0..count).fold(0, |all, place| all | 1 << place), 0);
    search.best.map(|(_, Reverse(places))| places).unwrap_or_default()
}

struct Search<'a, F> {
    near: &'a [Set],
    alike: &'a F,
    /// How many are alike, and who.
    best: Option<(usize, Reverse<Vec<usize>>)>,
}

impl<F: Fn(&[usize]) -> usize> Search<'_, F> {
    /// Looks at every group of `chosen` and some of `open` that cannot be extended; those with one of `done` have been.
    fn extend(&mut self, chosen: Set, mut open: Set, mut done: Set) {
        let best = self.best.as_ref().map_or(0, |(_, Reverse(places))| places.len());
        if ((chosen | open).count_ones() as usize) < best {
            return;
        }
        if open | done == 0 {
            return self.consider(chosen, best);
        }
        // Every group has the pivot or one that does not agree with it.
        let pivot = places(open | done).max_by_key(|at| (open & self.near[*at]).count_ones());
        let candidates = open & !pivot.map_or(0, |at| self.near[at]);
        for at in places(candidates) {
            self.extend(chosen | 1 << at, open & self.near[at], done & self.near[at]);
            open &= !(1 << at);
            done |= 1 << at;
        }
    }

    fn consider(&mut self, chosen: Set, best: usize) {
        let group: Vec<usize> = places(chosen).collect();
        let is_larger = group.len() > best;
        let found = ((self.alike)(&group), Reverse(group));
        if is_larger || self.best.as_ref().is_none_or(|best| found > *best) {
            self.best = Some(found);
        }
    }
}

fn places(set: Set) -> impl Iterator<Item = usize> {
    (0..Set::BITS).filter(move |at| set & (1 << at) != 0).map(|at| at as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(count: usize, agreeing: &[(usize, usize)]) -> Vec<usize> {
        largest(count, agreeing.iter().copied(), |_| 0)
    }

    #[test]
    fn small_graphs_have_the_groups_that_one_sees() {
        assert_eq!(found(0, &[]), [0; 0]);
        assert_eq!(found(3, &[]), [0], "one agrees with itself; the first of several");
        assert_eq!(found(3, &[(1, 2)]), [1, 2]);
        assert_eq!(found(4, &[(0, 1), (1, 2), (2, 3)]), [0, 1], "agreeing is not handed on");
        assert_eq!(found(5, &[(0, 1), (0, 3), (1, 3), (2, 4)]), [0, 1, 3]);
    }

    #[test]
    fn among_equals_the_one_counts_in_which_more_are_alike() {
        let two = [(0, 1), (2, 3)];
        let last = largest(4, two.into_iter(), |group| group.iter().filter(|at| **at > 1).count());
        assert_eq!(last, [2, 3]);
        let larger = largest(3, [(0, 1)].into_iter(), |group| if group == [2] { 9 } else { 0 });
        assert_eq!(larger, [0, 1], "a larger group goes before that");
    }

    #[test]
    fn the_graph_with_the_most_groups_is_searched_whole() {
        // Moon and Moser's: everybody agrees with all but two others.
        let near = |a: usize, b: usize| a / 3 != b / 3;
        let all = (0..32).flat_map(|b| (0..b).map(move |a| (a, b))).filter(|(a, b)| near(*a, *b));
        assert_eq!(largest(32, all, |_| 0), (0..32).step_by(3).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn no_subset_is_better(edges in prop::collection::vec(any::<bool>(), 45), weights in prop::array::uniform10(0usize..3)) {
            let all = (0..10).flat_map(|b| (0..b).map(move |a| (a, b)));
            let agreeing: Vec<(usize, usize)> = all.zip(&edges).filter(|(_, edge)| **edge).map(|(pair, _)| pair).collect();
            let alike = |group: &[usize]| group.iter().map(|at| weights[*at]).sum::<usize>();
            let group = largest(10, agreeing.iter().copied(), alike);
            let holds = |set: &[usize]| {
                set.iter().enumerate().all(|(at, b)| set[..at].iter().all(|a| agreeing.contains(&(*a, *b))))
            };
            prop_assert!(holds(&group));
            let best = (1u32..1 << 10).map(|set| places(set).collect::<Vec<_>>()).filter(|set| holds(set));
            let best = best.max_by_key(|set| (set.len(), alike(set), Reverse(set.clone())));
            prop_assert_eq!(Some(group), best);
        }
    }
}
