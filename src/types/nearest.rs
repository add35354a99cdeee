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

/// Up to `most` candidates that `name` may have meant, the most similar first; judged as [`nearest`] does.
pub fn nearest_few<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let mut close: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.7)
        .collect();
    close.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    // Where only the case differs, nothing else was meant.
    if close.first().is_some_and(|(similarity, _)| *similarity >= 1.0) {
        close.truncate(1);
    }
    close.into_iter().take(most).map(|(_, candidate)| candidate).collect()
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

    #[test]
    fn several_names_come_the_nearest_first_and_only_one_where_the_case_alone_differs() {
        let known = ["am_adam", "af_sarah", "af_sky", "zz_top"];
        assert_eq!(nearest_few("af_sara", known, 3).first(), Some(&"af_sarah"));
        assert!(nearest_few("af_sara", known, 3).len() > 1 && nearest_few("af_sara", known, 1).len() == 1);
        assert_eq!(nearest_few("AF_SARAH", known, 3), ["af_sarah"]);
        assert!(nearest_few("qqqq", known, 3).is_empty());
    }
}
