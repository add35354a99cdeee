use super::*;

fn variant(precision: &str, resident: u64, workspace: u64) -> Variant {
    Variant {
        precision: precision.to_owned(),
        resident: Bytes::mb(resident),
        workspace: Bytes::mb(workspace),
    }
}

fn need(model: ModelId, chosen: Variant, alternatives: &[Variant]) -> ModelNeed {
    ModelNeed { model, chosen, alternatives: alternatives.to_vec() }
}

const TOGETHER: &[&[ModelId]] = &[
    &[ModelId::Flux, ModelId::Kokoro],
    &[ModelId::LivePortrait, ModelId::Kokoro, ModelId::Flux],
    &[ModelId::ClipB, ModelId::ClipL],
];

/// Residents 8.0 GB; workspaces together 3.2 GB, alone at most 2.0 GB; overhead 0.3 GB: 11.5 GB in all.
fn models() -> Vec<ModelNeed> {
    vec![
        need(
            ModelId::Flux,
            variant("nf4", 6000, 2000),
            &[variant("q4", 5800, 2000), variant("q3", 5000, 2000)],
        ),
        need(ModelId::LivePortrait, variant("f16", 1000, 1000), &[variant("int8", 500, 900)]),
        need(ModelId::Kokoro, variant("f32", 400, 200), &[]),
        need(ModelId::ClipB, variant("q8", 200, 50), &[]),
        need(ModelId::ClipL, variant("q8", 400, 50), &[]),
    ]
}

fn check(limit: u64, free: Option<u64>, models: &[ModelNeed]) -> Result<Fit, Misfit> {
    let plan = Plan {
        limit: Bytes::mb(limit),
        free: free.map(Bytes::mb),
        overhead: Bytes::mb(300),
        models,
        concurrent: TOGETHER,
    };
    preflight(&plan).map_err(|misfit| *misfit)
}

fn precisions(changes: &[(ModelId, &str)]) -> Vec<(ModelId, String)> {
    changes.iter().map(|(model, precision)| (*model, (*precision).to_owned())).collect()
}

#[test]
fn what_fits_is_proved_with_its_figures() {
    let exactly = check(11_500, None, &models()).unwrap();
    assert_eq!(
        (exactly.residents, exactly.workspaces, exactly.needed, exactly.spare),
        (Bytes::mb(8000), Bytes::mb(3200), Bytes::mb(11_500), Bytes::ZERO)
    );
    assert_eq!(check(11_600, Some(11_550), &models()).unwrap().spare, Bytes::mb(50));
    assert_eq!(check(11_600, Some(20_000), &models()).unwrap().spare, Bytes::mb(100));
}

#[test]
fn what_does_not_fit_is_told_by_how_much_and_who_is_large() {
    let misfit = check(11_499, None, &models()).unwrap_err();
    assert_eq!(misfit.missing(), Bytes::mb(1));
    assert_eq!((misfit.needed, misfit.room), (Bytes::mb(11_500), Bytes::mb(11_499)));
    assert!(!misfit.room_is_free_memory);
    assert_eq!(
        misfit.by_model[..2],
        [(ModelId::Flux, Bytes::mb(6000)), (ModelId::LivePortrait, Bytes::mb(1000))]
    );
    let text = misfit.to_string();
    for part in ["11.50 GB are allowed: 1.0 MB too much", "flux 6.00 GB, liveportrait 1.00 GB", "flux at q4"]
    {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn free_memory_binds_where_it_is_less_than_the_limit() {
    let misfit = check(12_000, Some(11_000), &models()).unwrap_err();
    assert!(misfit.room_is_free_memory);
    assert_eq!(misfit.missing(), Bytes::mb(500));
    assert!(misfit.to_string().contains("11.00 GB are free"), "{misfit}");
}

#[test]
fn the_mildest_single_changes_come_first() {
    // 100 MB too much: Flux one step down does; LivePortrait at int8 does; one at a time does.
    let misfit = check(11_400, None, &models()).unwrap_err();
    assert_eq!(
        misfit.remedies,
        [
            Remedy::Precisions(precisions(&[(ModelId::Flux, "q4")])),
            Remedy::Precisions(precisions(&[(ModelId::LivePortrait, "int8")])),
            Remedy::OneAtATime,
        ]
    );
    let text = misfit.to_string();
    let end = "what would fit: flux at q4, or liveportrait at int8, or one job at a time";
    assert!(text.ends_with(end), "{text}");
    // 900 MB too much: only Flux two steps down, or one at a time.
    let misfit = check(10_600, None, &models()).unwrap_err();
    assert_eq!(
        misfit.remedies,
        [Remedy::Precisions(precisions(&[(ModelId::Flux, "q3")])), Remedy::OneAtATime]
    );
}

#[test]
fn a_change_that_just_fits_is_offered() {
    let misfit = check(10_500, None, &models()).unwrap_err();
    assert_eq!(misfit.remedies[0], Remedy::Precisions(precisions(&[(ModelId::Flux, "q3")])));
    let misfit = check(10_300, None, &models()).unwrap_err();
    assert!(misfit.remedies.contains(&Remedy::OneAtATime), "8000 + 2000 + 300: {misfit}");
}

#[test]
fn several_precisions_together_are_found() {
    let both = precisions(&[(ModelId::Flux, "q3"), (ModelId::LivePortrait, "int8")]);
    for just_fits_at_the_least in [10_200, 9900] {
        let misfit = check(just_fits_at_the_least, None, &models()).unwrap_err();
        assert_eq!(misfit.remedies, [Remedy::Precisions(both.clone())]);
        assert!(misfit.to_string().contains("flux at q3 and liveportrait at int8"), "{misfit}");
    }
}

#[test]
fn the_last_resorts_are_one_at_a_time_and_fewer_models() {
    let both = precisions(&[(ModelId::Flux, "q3"), (ModelId::LivePortrait, "int8")]);
    let misfit = check(8900, None, &models()).unwrap_err();
    assert_eq!(misfit.remedies, [Remedy::PrecisionsOneAtATime(both)]);
    assert!(misfit.to_string().contains("liveportrait at int8 and one job at a time"), "{misfit}");
    let misfit = check(3500, None, &models()).unwrap_err();
    let rest = vec![ModelId::LivePortrait, ModelId::Kokoro, ModelId::ClipB, ModelId::ClipL];
    assert_eq!(misfit.remedies, [Remedy::Only(rest)]);
    assert!(misfit.to_string().contains("only liveportrait, kokoro"), "{misfit}");
    let misfit = check(100, None, &models()).unwrap_err();
    assert_eq!(misfit.remedies, []);
    assert!(misfit.to_string().contains("nothing of this bundle; room for 11.50 GB"), "{misfit}");
}

#[test]
fn a_model_in_no_group_still_needs_its_own_workspace() {
    let alone = [need(ModelId::Flux, variant("nf4", 100, 700), &[])];
    let plan =
        Plan { limit: Bytes::mb(799), free: None, overhead: Bytes::ZERO, models: &alone, concurrent: &[] };
    assert_eq!(preflight(&plan).unwrap_err().missing(), Bytes::mb(1));
    assert_eq!(preflight(&Plan { limit: Bytes::mb(800), ..plan }).unwrap().workspaces, Bytes::mb(700));
    let nothing = preflight(&Plan { models: &[], ..plan }).unwrap();
    assert_eq!((nothing.needed, nothing.spare), (Bytes::ZERO, Bytes::mb(799)));
}

#[test]
fn an_alternative_that_saves_nothing_is_not_offered() {
    let models =
        [need(ModelId::Flux, variant("nf4", 1000, 0), &[variant("f16", 3000, 0), variant("q4", 1000, 0)])];
    let misfit = check(1000, None, &models).unwrap_err();
    assert_eq!(misfit.remedies, []);
}
