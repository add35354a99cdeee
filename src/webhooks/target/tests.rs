//! Good and bad addresses. The bad ones are what lists of such tricks gather; each must be refused by its text alone, or,
//! where it is an honest name, be left to the check of what it resolves to.

use super::*;

/// Refused whatever they resolve to.
const BAD: &[&str] = &[
    // Not addresses, other schemes, missing parts.
    "",
    " ",
    "https",
    "https:",
    "https:/",
    "https://",
    "https:///",
    "https:///hook",
    "hooks.example.org/x",
    "//hooks.example.org/",
    "ftp://hooks.example.org/",
    "file:///etc/passwd",
    "gopher://hooks.example.org/",
    "javascript://hooks.example.org/",
    "data:text/plain,x",
    "ws://hooks.example.org/",
    "http://hooks.example.org/",
    "HTTP://hooks.example.org/",
    "https:hooks.example.org",
    "https:/hooks.example.org",
    "https:\\\\hooks.example.org",
    "https://hooks.example.org\\@127.0.0.1/",
    "h ttps://hooks.example.org/",
    "https ://hooks.example.org/",
    " https://hooks.example.org/",
    "https://hooks.example.org/ ",
    "https://hooks.exa\tmple.org/",
    "https://hooks.example.org/\r\nHost: x",
    "https://hooks.example.org/\0",
    "https://?x",
    "https://#x",
    "https://:443/",
    "https://./",
    "https://../",
    // Loopback, in every way to write it.
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7F.0x0.0x0.0x1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://00000127.0.0.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://0x0/",
    "https://00/",
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::0001]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::FFFF:127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fe80::1]/",
    "https://[::1/",
    "https://::1/",
    "https://[]/",
    "https://[::1]x/",
    "https://[127.0.0.1]/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://127。0。0。1/",
    "https://１２７.0.0.1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://x.localhost/",
    "https://localhost:443/",
    "https://ⓛocalhost/",
    "https://localhost.localdomain/",
    "https://lo%63alhost/",
    "https://xn--/",
    "https://256.256.256.256/",
    "https://4294967296/",
    "https://1.2.3.4.5/",
    // Private, link-local, metadata, and what only looks public.
    "https://10.0.0.1/",
    "https://10.1/",
    "https://167772161/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://192.168.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://2852039166/",
    "https://169.254.43518/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://168.63.129.16/",
    "https://100.100.100.200/",
    "https://metadata.google.internal/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[fc00::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[64:ff9b::10.0.0.1]/",
    // Names without a public meaning.
    "https://intranet/",
    "https://db/",
    "https://printer.local/",
    "https://wiki.corp/",
    "https://x.internal/",
    "https://router.home.arpa/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://a.test/",
    "https://x.onion/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://hooks.example.com/",
    "https://hooks.example.org./",
    "https://hooks..example.org/",
    "https://.example.org/",
    "https://-x.example.org/",
    "https://x-.example.org/",
    "https://ho*oks.example.org/",
    "https://hooks,example.org/",
    "https://hooks%00.example.org/",
    "https://hooks!.example.org/",
    "https://{hooks}.example.org/",
    // Credentials, ports, fragments.
    "https://user@hooks.example.org/",
    "https://user:password@hooks.example.org/",
    "https://@hooks.example.org/",
    "https://:@hooks.example.org/",
    "https://hooks.example.org@127.0.0.1/",
    "https://127.0.0.1@hooks.example.org/",
    "https://hooks.example.org:443@10.0.0.1/",
    "https://a@b@hooks.example.org/",
    "https://hooks.example.org%40127.0.0.1/",
    "https://hooks.example.org:0/",
    "https://hooks.example.org:00000/",
    "https://hooks.example.org:65536/",
    "https://hooks.example.org:-1/",
    "https://hooks.example.org:x/",
    "https://hooks.example.org:/",
    "https://hooks.example.org:443:443/",
    "https://hooks.example.org/#fragment",
    "https://hooks.example.org#@127.0.0.1/",
    "https://hooks.example.org#",
    "https://müller.example.org/",
    "https://hooks.example.org/ä",
];

const GOOD: &[&str] = &[
    "https://hooks.example.org",
    "https://hooks.example.org/",
    "HTTPS://Hooks.Example.ORG/a?b=c&d=@e",
    "https://hooks.example.org:8443/a/b@c",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]/x",
    "https://xn--mller-kva.org/",
    "https://a_b.example.org/",
    "https://0x7f.org/",
    "https://10.org/",
    "https://localhost.org/",
    "https://metadata.example.org/",
    "https://notlocal.org/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://hooks.example.org/%41?%00",
];

#[test]
fn a_hundred_and_more_bad_addresses_are_refused_with_what_would_be_accepted() {
    let rules = Rules::default();
    assert!(BAD.len() > 150);
    for bad in BAD {
        let error = rules.check(bad).expect_err(bad).to_string();
        assert!(error.starts_with("webhook address: "), "{error}");
        assert!(error.contains("accepted") || error.contains("write it like that"), "{bad}: {error}");
        assert!(!error.contains("password"), "{error}");
    }
    let long = format!("https://hooks.example.org/{}", "x".repeat(MOST_BYTES));
    assert_eq!(rules.check(&long), Err(TargetError::Length(long.len())));
    assert!(rules.check(&format!("https://{}.org/", "x".repeat(64))).is_err());
    assert!(rules.check(&format!("https://{}org/", "x.".repeat(126))).is_err());
}

#[test]
fn public_addresses_pass_in_their_canonical_form() {
    let rules = Rules::default();
    for good in GOOD {
        // How an IPv4 part of an IPv6 address is written is the one thing that the standard changes.
        if good.contains("64:ff9b") {
            assert!(
                matches!(rules.check(good), Err(TargetError::Host { canonical, .. }) if canonical == "[64:ff9b::808:808]")
            );
            continue;
        }
        let target = rules.check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        assert_eq!(target.reach, Reach::Public, "{good}");
    }
    let target = rules.check("HTTPS://Hooks.Example.ORG:443/secret?x").unwrap();
    assert_eq!(target.address(), "https://hooks.example.org/secret?x");
    assert_eq!(target.origin(), "https://hooks.example.org");
    assert!(!format!("{target:?}").contains("secret"));
}

#[test]
fn hints_name_the_form_to_write() {
    let error = Rules::default().check("https://0x7f.1/").unwrap_err().to_string();
    assert!(error.contains("\"127.0.0.1\""), "{error}");
}

#[test]
fn allowed_origins_hosts_and_domains_go_further_and_no_further() {
    let allow = [
        "http://10.0.0.7:8080",
        "https://db.corp:8443",
        "queue",
        "*.lan",
        "192.168.1.5",
        "::1",
        "http://[fd00::1]",
    ];
    let rules = Rules::new(false, &allow).unwrap();
    let reach = |address: &str| rules.check(address).map(|target| target.reach);
    assert_eq!(reach("http://10.0.0.7:8080/x"), Ok(Reach::Exact));
    assert_eq!(reach("https://db.corp:8443/"), Ok(Reach::Named));
    assert_eq!(reach("https://queue/"), Ok(Reach::Named));
    assert_eq!(reach("https://queue:9/"), Ok(Reach::Named));
    assert_eq!(reach("https://a.b.lan/"), Ok(Reach::Named));
    assert_eq!(reach("https://192.168.1.5/"), Ok(Reach::Exact));
    assert_eq!(reach("https://[::1]/"), Ok(Reach::Exact));
    assert_eq!(reach("http://[fd00::1]/"), Ok(Reach::Exact));
    for refused in [
        "http://10.0.0.7/",
        "https://10.0.0.7:8080/",
        "http://10.0.0.7:8081/",
        "http://10.0.0.70:8080/",
        "https://db.corp/",
        "http://queue/",
        "https://xqueue/",
        "https://lan/",
        "https://evillan/",
        "https://x.lan.org/",
        "http://a.lan/",
        "https://hooks.example.org/",
        "https://user@queue/",
        "https://0xc0a80105/",
    ] {
        assert!(reach(refused).is_err(), "{refused}");
    }
}

#[test]
fn entries_that_are_none_are_named() {
    for wrong in [
        "",
        "*",
        "*.",
        "*.10.0.0.1",
        "hooks.example.org:443",
        "hooks.example.org/x",
        "https://hooks.example.org/x",
        "http://",
        "a b",
        "ftp://x.org",
        "x.*.org",
        "http://u@x",
        "010.0.0.1",
        "https://x.org?",
    ] {
        let error = Rules::new(true, &[wrong]).expect_err(wrong);
        assert!(error.entry == wrong && error.to_string().contains("accepted: an origin"), "{error}");
    }
}
