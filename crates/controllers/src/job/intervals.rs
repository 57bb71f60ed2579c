//! Sets of completion indexes, as `.status.completedIndexes` writes them: `0,2-4,7`.
//!
//! Upstream: pkg/controller/job/indexed_job_utils.go, `orderedIntervals`.

use std::collections::BTreeSet;
use std::fmt;

/// Closed intervals in rising order, never touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<(i32, i32)>);

impl Intervals {
    /// Reads the written form. What is beyond `completions` or not a number is left out, as upstream has it.
    pub fn parse(text: &str, completions: i32) -> Self {
        let mut all = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>())
                && first < completions
            {
                all.insert(first, last.min(completions - 1));
            }
        }
        all
    }

    /// Adds all indexes from `first` to `last`.
    pub fn insert(&mut self, first: i32, last: i32) {
        let start = self.0.partition_point(|(_, end)| *end < first.saturating_sub(1));
        let end = self.0.partition_point(|(begin, _)| *begin <= last.saturating_add(1));
        let merged = self.0[start..end].iter().fold((first, last), |(a, b), (c, d)| (a.min(*c), b.max(*d)));
        self.0.splice(start..end, [merged]);
    }

    pub fn with(mut self, indexes: impl IntoIterator<Item = i32>) -> Self {
        indexes.into_iter().for_each(|index| self.insert(index, index));
        self
    }

    pub fn merge(mut self, other: &Self) -> Self {
        other.0.iter().for_each(|(first, last)| self.insert(*first, *last));
        self
    }

    pub fn has(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    pub fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many indexes both have.
    pub fn common(&self, other: &Self) -> i32 {
        let overlap = |a: &(i32, i32)| {
            other.0.iter().map(move |b| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0)).sum::<i32>()
        };
        self.0.iter().map(overlap).sum()
    }

    /// The first `count` indexes below `completions` that are not here.
    pub fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let (mut found, mut candidate) = (Vec::new(), 0);
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            found.extend((candidate..first.min(completions)).take(count - found.len()));
            candidate = candidate.max(last.saturating_add(1));
        }
        found
    }
}

impl fmt::Display for Intervals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl From<BTreeSet<i32>> for Intervals {
    fn from(indexes: BTreeSet<i32>) -> Self {
        Self::default().with(indexes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_read_merged_and_written() {
        for (text, add, written, total) in [
            ("", vec![], "", 0),
            ("", vec![3, 1, 2], "1-3", 3),
            ("0,2-4,7", vec![1], "0-4,7", 6),
            ("0,1", vec![5], "0,1,5", 3),
            ("0-9,x,30-40", vec![], "0-9", 10),
            ("5-30", vec![], "5-19", 15),
        ] {
            let all = Intervals::parse(text, 20).with(add);
            assert_eq!((all.to_string().as_str(), all.total()), (written, total), "{text}");
        }
    }

    #[test]
    fn tell_what_is_missing_and_what_is_common() {
        let all = Intervals::parse("0,2-4,7", 20);
        assert_eq!(all.first_missing(3, 20), [1, 5, 6]);
        assert_eq!(all.first_missing(9, 9), [1, 5, 6, 8]);
        assert_eq!(Intervals::parse("0-9", 20).first_missing(2, 5), Vec::<i32>::new());
        assert_eq!(all.common(&Intervals::parse("3-8", 20)), 3);
        assert!(all.has(3) && !all.has(5) && !all.has(8));
    }
}
