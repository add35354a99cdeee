//! What texts the leaf values accept.

use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_read_in_every_unit() {
    let read = |text| parse_duration(text).unwrap();
    assert_eq!(read("250ms"), Duration::from_millis(250));
    assert_eq!(read("1.5s"), Duration::from_millis(1500));
    assert_eq!(read(" 5 min "), Duration::from_secs(300));
    assert_eq!(read("2h"), Duration::from_secs(7200));
    assert_eq!(read("1d"), Duration::from_secs(86400));
    assert_eq!(read("0s"), Duration::ZERO);
}

#[test]
fn what_is_no_duration_is_refused() {
    for text in ["", "5", "s", "-1s", "1e3s", "infs", "1.2.3s", "5 sec", "99999999999999999999d"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

fn times(factor: f64, at_least: u64) -> Timeout {
    Timeout::TimesEstimate { factor, at_least: Duration::from_secs(at_least) }
}

#[test]
fn a_timeout_is_a_duration_or_a_multiple() {
    assert_eq!("15s".parse(), Ok(Timeout::Fixed(Duration::from_secs(15))));
    assert_eq!("3x".parse(), Ok(times(3.0, 0)));
    assert_eq!("2.5x, at least 5s".parse(), Ok(times(2.5, 5)));
    for text in [
        "0s",
        "0x",
        "0.5x",
        "NaNx",
        "infx",
        "x",
        "3",
        "1001x",
        "-3x",
        "3x,",
        "3x, 5s",
        "3x, at least 5",
        "3s, at least 5s",
    ] {
        let error = text.parse::<Timeout>().unwrap_err();
        assert!(error.contains("\"15s\"") && error.contains("\"3x\""), "{text}: {error}");
    }
}

#[test]
fn a_limit_is_an_amount_or_a_share() {
    assert_eq!("11.0GB".parse(), Ok(Limit::Amount(Bytes::gb(11))));
    assert_eq!("92%".parse::<Limit>().unwrap().resolve(Bytes::gb(100)), Bytes::gb(92));
    assert_eq!("100%".parse(), Ok(Limit::OfFree(1.0)));
    assert_eq!("11.0GB".parse::<Limit>().unwrap().resolve(Bytes::gb(1)), Bytes::gb(11));
    for text in ["0%", "-5%", "101%", "NaN%", "%", "11", "eleven"] {
        assert!(text.parse::<Limit>().is_err(), "{text}");
    }
}

#[test]
fn devices_of_two_kinds_are_refused_with_the_reason() {
    for text in ["cpu,cuda:0", "cuda:0,cuda:1,cpu", "cuda:0,scripted:1"] {
        let told = text.parse::<Devices>().unwrap_err();
        assert!(told.contains("two kinds") && told.contains("cuda:0"), "{told}");
    }
    let told = "cuda:1,cuda:0,cuda:1".parse::<Devices>().unwrap_err();
    assert!(told.contains("cuda:1 is named twice"), "{told}");
}

#[test]
fn devices_are_auto_or_a_list_without_repeats() {
    assert_eq!("auto".parse(), Ok(Devices::Auto));
    let both = Devices::Listed(vec![DeviceId::Cuda(0), DeviceId::Cuda(1)]);
    assert_eq!("cuda:0, cuda:1".parse(), Ok(both.clone()));
    let listed: Devices = serde_json::from_str(r#"["cuda:0", "cuda:1"]"#).unwrap();
    assert_eq!(listed, both);
    for json in ["[]", r#"["cpu", "cpu"]"#, r#""gpu""#, r#""cpu,cpu""#, "3", r#"["auto"]"#] {
        assert!(serde_json::from_str::<Devices>(json).is_err(), "{json}");
    }
}

#[test]
fn every_precision_reads_back_and_a_slip_names_the_nearest() {
    for precision in Precision::ALL {
        assert_eq!(precision.name().parse(), Ok(precision));
    }
    assert_eq!("nf4nested".parse::<Precision>().unwrap_err().nearest, Some("nf4_nested"));
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC{0,12}(s|ms|min|x|%|GB)?") {
        let _ = (parse_duration(&text), text.parse::<Timeout>(), text.parse::<Limit>(), text.parse::<Devices>());
    }

    #[test]
    fn printed_limits_and_timeouts_read_back(percent in 1u32..=100, milliseconds in 1u64..100_000) {
        let share = Limit::OfFree(f64::from(percent) / 100.0);
        let Limit::OfFree(back) = share.to_string().parse().unwrap() else { panic!("{share} is a share") };
        prop_assert!((back - f64::from(percent) / 100.0).abs() < 1e-12);
        let time = Duration::from_millis(milliseconds);
        let timeouts = [Timeout::Fixed(time), Timeout::TimesEstimate { factor: f64::from(percent), at_least: time }];
        for timeout in timeouts {
            prop_assert_eq!(timeout.to_string().parse(), Ok(timeout));
        }
    }
}
