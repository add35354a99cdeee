use super::*;

const AGE: Duration = Duration::from_secs(2);

fn sample(at: Instant) -> Sample {
    Sample {
        source: "test",
        standing: Standing::Primary,
        taken_at: at,
        total: Bytes::gb(12),
        used: Bytes::gb(5),
        free: Bytes::gb(6),
        own: None,
        others: None,
        pool: None,
    }
}

#[test]
fn impossible_samples_are_named() {
    let now = crate::clock::now();
    let good = sample(now);
    assert_eq!(good.flaw(now, AGE), None);
    assert_eq!(Sample { used: good.total, free: Bytes::ZERO, ..good }.flaw(now, AGE), None, "a full card");
    assert_eq!(Sample { total: Bytes::ZERO, ..good }.flaw(now, AGE), Some(Flaw::NoTotal));
    let over = Sample { used: Bytes::new(12_000_000_001), ..good };
    assert!(matches!(over.flaw(now, AGE), Some(Flaw::UsedAboveTotal { .. })));
    for part in [
        Sample { free: Bytes::gb(13), ..good },
        Sample { own: Some(Bytes::gb(13)), ..good },
        Sample { others: Some(Bytes::gb(13)), ..good },
    ] {
        assert!(matches!(part.flaw(now, AGE), Some(Flaw::PartAboveTotal { .. })), "{part:?}");
    }
    let all = Sample { free: good.total, own: Some(good.total), ..good };
    assert_eq!(all.flaw(now, AGE), None, "a part may be the whole");
    let pool = Sample { pool: Some(Pool { used: Bytes::gb(2), reserved: Bytes::gb(1) }), ..good };
    assert_eq!(pool.flaw(now, AGE), Some(Flaw::PoolAboveReserved));
    let full = Sample { pool: Some(Pool { used: Bytes::gb(2), reserved: Bytes::gb(2) }), ..good };
    assert_eq!(full.flaw(now, AGE), None);
}

#[test]
fn only_examined_and_fresh_samples_are_usable() {
    let now = crate::clock::now();
    let good = sample(now);
    assert!(good.is_usable(now, AGE));
    assert!(good.is_usable(now + AGE, AGE));
    assert!(!good.is_usable(now + AGE + Duration::from_nanos(1), AGE));
    assert!(!Sample { standing: Standing::Unchecked, ..good }.is_usable(now, AGE));
    let ahead = sample(now + Duration::from_secs(1));
    assert_eq!(ahead.flaw(now, AGE), Some(Flaw::FromTheFuture));
}

#[test]
fn the_rest_beyond_this_process_is_others() {
    let good = sample(crate::clock::now());
    assert_eq!(good.used_by_others(), None);
    assert_eq!(Sample { own: Some(Bytes::gb(3)), ..good }.used_by_others(), Some(Bytes::gb(2)));
    assert_eq!(Sample { own: Some(Bytes::gb(6)), ..good }.used_by_others(), Some(Bytes::ZERO));
    let told = Sample { own: Some(Bytes::gb(3)), others: Some(Bytes::gb(1)), ..good };
    assert_eq!(told.used_by_others(), Some(Bytes::gb(1)));
}
