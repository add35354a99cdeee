//! Suggestions for misspelt names.

/// The candidate that `name` most likely meant, if any is close enough to be worth suggesting.
///
/// Jaro–Winkler similarity of at least 0.7, without regard to case: one or two slips in a short word.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        assert_eq!(nearest("sft_limit", ["hard_limit", "soft_limit"]), Some("soft_limit"));
        assert_eq!(nearest("Exited", ["excited", "calm"]), Some("excited"));
        assert_eq!(nearest("qqqq", ["hard_limit", "soft_limit"]), None);
    }
}
