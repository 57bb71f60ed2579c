//! Brings scores to 0..=100.
//!
//! Upstream: plugins/helper, `DefaultNormalizeScore`.

use crate::framework::MAX_NODE_SCORE;

/// The largest becomes the best.
pub(super) fn highest_is_best(scores: &mut [i64]) {
    let most = scores.iter().copied().max().unwrap_or(0);
    if most != 0 {
        scores.iter_mut().for_each(|score| *score = *score * MAX_NODE_SCORE / most);
    }
}

/// Zero becomes the best, the largest the worst.
pub(super) fn lowest_is_best(scores: &mut [i64]) {
    highest_is_best(scores);
    scores.iter_mut().for_each(|score| *score = MAX_NODE_SCORE - *score);
}
