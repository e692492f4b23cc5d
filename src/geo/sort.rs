//! Sorting the first few of many.

use std::cmp::Ordering;

/// So many items are sorted by insertion.
const FEW: usize = 6;
/// From so many items on, the pivot is chosen among nine.
const MANY: usize = 41;

/// Puts the `wanted` first items in order at the front; the others follow in no order.
///
/// The quicksort of Bentley and McIlroy ("Engineering a sort function", 1993), which leaves out
/// what lies behind the wanted items. Which of several equal items are among the first, and how
/// they follow each other, depends on it, and clients see that: Redis sorts with it too.
pub fn sort_first<T>(items: &mut [T], wanted: usize, compare: &impl Fn(&T, &T) -> Ordering) {
    // Input made to be slow is sorted in another way from this depth on.
    let depth = 4 * items.len().max(1).ilog2();
    sort_down(items, wanted, depth, compare);
}

fn sort_down<T>(
    mut items: &mut [T],
    mut wanted: usize,
    mut depth: u32,
    compare: &impl Fn(&T, &T) -> Ordering,
) {
    while wanted > 0 && items.len() > FEW {
        if depth == 0 {
            items.sort_by(compare);
            return;
        }
        depth -= 1;
        let pivot = pivot(items, compare);
        let (lower, not_higher) = part(items, pivot, compare);
        let (front, rest) = items.split_at_mut(not_higher);
        sort_down(&mut front[..lower], wanted, depth, compare);
        wanted = wanted.saturating_sub(not_higher);
        items = rest;
    }
    if wanted > 0 {
        sort_few(items, compare);
    }
}

fn sort_few<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && compare(&items[at - 1], &items[at]).is_gt() {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// The place of an item that likely is near the median.
fn pivot<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let last = items.len() - 1;
    let middle = items.len() / 2;
    if items.len() == FEW + 1 {
        return middle;
    }
    let median = |a, b, c| median(items, [a, b, c], compare);
    if items.len() < MANY {
        return median(0, middle, last);
    }
    let gap = items.len() / 8;
    median(
        median(0, gap, 2 * gap),
        median(middle - gap, middle, middle + gap),
        median(last - 2 * gap, last - gap, last),
    )
}

fn median<T>(items: &[T], [a, b, c]: [usize; 3], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let compare = |a: usize, b: usize| compare(&items[a], &items[b]);
    if compare(a, b).is_lt() {
        if compare(b, c).is_lt() {
            b
        } else if compare(a, c).is_lt() {
            c
        } else {
            a
        }
    } else if compare(b, c).is_gt() {
        b
    } else if compare(a, c).is_lt() {
        a
    } else {
        c
    }
}

/// Parts items into those lower than the pivot, equal to it and higher. Answers the number of the
/// lower ones, and that of the lower and the equal ones.
fn part<T>(items: &mut [T], pivot: usize, compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    items.swap(0, pivot);
    // Equal items gather at both ends first: [..equal_low] and [equal_high..].
    let (mut equal_low, mut low) = (1, 1);
    let (mut high, mut equal_high) = (items.len(), items.len());
    loop {
        while low < high {
            match compare(&items[low], &items[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    items.swap(equal_low, low);
                    equal_low += 1;
                }
                Ordering::Less => {}
            }
            low += 1;
        }
        while low < high {
            match compare(&items[high - 1], &items[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    equal_high -= 1;
                    items.swap(equal_high, high - 1);
                }
                Ordering::Greater => {}
            }
            high -= 1;
        }
        if low >= high {
            break;
        }
        items.swap(low, high - 1);
        low += 1;
        high -= 1;
    }
    let (lower, higher) = (low - equal_low, equal_high - high);
    swap_blocks(items, 0, low, equal_low.min(lower));
    swap_blocks(items, low, items.len(), higher.min(items.len() - equal_high));
    (lower, items.len() - higher)
}

/// Swaps the `count` items from `start` on with those in front of `end`.
fn swap_blocks<T>(items: &mut [T], start: usize, end: usize, count: usize) {
    for index in 0..count {
        items.swap(start + index, end - count + index);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_items_are_those_of_a_full_sort(
            keys in prop::collection::vec(0..60u8, 0..300),
            wanted in 0..310usize,
        ) {
            let mut items: Vec<(u8, usize)> = keys.iter().copied().zip(0..).collect();
            sort_first(&mut items, wanted, &|a, b| a.0.cmp(&b.0));
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            let wanted = wanted.min(keys.len());
            prop_assert!(items[..wanted].iter().map(|item| item.0).eq(sorted[..wanted].to_vec()));
            items.sort_unstable_by_key(|item| item.1);
            prop_assert!(items.into_iter().eq(keys.into_iter().zip(0..)), "no item is lost");
        }
    }

    /// What a valkey-server 8.1 answers to GEOSEARCH with COUNT, where five members each are at
    /// four distances.
    #[test]
    fn equal_items_follow_each_other_as_in_redis() {
        let items: Vec<(u8, usize)> = (0..20).map(|at| ([3, 2, 0, 1][at / 5], at)).collect();
        let places = |items: &[(u8, usize)]| items.iter().map(|item| item.1).collect::<Vec<_>>();
        let mut nearest = items.clone();
        sort_first(&mut nearest, 8, &|a, b| a.0.cmp(&b.0));
        assert_eq!(places(&nearest[..8]), [10, 14, 13, 12, 11, 19, 15, 16]);
        let mut farthest = items;
        sort_first(&mut farthest, 12, &|a, b| b.0.cmp(&a.0));
        assert_eq!(places(&farthest[..12]), [1, 2, 3, 4, 0, 9, 5, 6, 7, 8, 19, 15]);
    }

    /// An order that is made up while it is asked for, so that every pivot is a bad one (McIlroy,
    /// "A killer adversary for quicksort", 1999).
    struct Adversary {
        /// None as long as an item may still be anywhere above the others.
        ranks: RefCell<Vec<Option<usize>>>,
        fixed: Cell<usize>,
        candidate: Cell<usize>,
        asked: Cell<usize>,
    }

    impl Adversary {
        fn fix(&self, item: usize) {
            self.ranks.borrow_mut()[item] = Some(self.fixed.get());
            self.fixed.set(self.fixed.get() + 1);
        }

        fn compare(&self, a: usize, b: usize) -> Ordering {
            self.asked.set(self.asked.get() + 1);
            let rank = |item: usize| self.ranks.borrow()[item];
            if rank(a).is_none() && rank(b).is_none() {
                self.fix(if a == self.candidate.get() { a } else { b });
            }
            match (rank(a), rank(b)) {
                (None, _) => {
                    self.candidate.set(a);
                    Ordering::Greater
                }
                (_, None) => {
                    self.candidate.set(b);
                    Ordering::Less
                }
                (one, other) => one.cmp(&other),
            }
        }
    }

    #[test]
    fn no_input_is_slow() {
        let len = 20_000;
        let adversary = Adversary {
            ranks: RefCell::new(vec![None; len]),
            fixed: Cell::new(0),
            candidate: Cell::new(0),
            asked: Cell::new(0),
        };
        let mut items: Vec<usize> = (0..len).collect();
        sort_first(&mut items, len - 1, &|a, b| adversary.compare(*a, *b));
        assert!(adversary.asked.get() < 100 * len, "{} comparisons", adversary.asked.get());
        let ranks = adversary.ranks.borrow();
        assert!(items[..len - 1].is_sorted_by_key(|item| ranks[*item].unwrap_or(len)));
    }
}
